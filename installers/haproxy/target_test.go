package haproxy

import (
	"os"
	"testing"

	"edge/internal/edgetest/targettest"
)

// By the runtime API, with certificates in a folder.
func TestTarget(t *testing.T) {
	t.Parallel()
	targettest.Run(t, func(t *testing.T) *targettest.Rig {
		s := newServer(t, someConf)
		s.daemon.Start(t)
		return s.rig("stats_socket", s.path("stats-relay.sock"), "master_socket", s.path("master-relay.sock"), "update", byRuntime)
	})
}

// By reloads of the master; in the normal run, TestByReload tries the most of it.
func TestTargetByReload(t *testing.T) {
	if os.Getenv("EDGE_SOAK") == "" {
		return
	}
	t.Parallel()
	targettest.Run(t, func(t *testing.T) *targettest.Rig {
		s := newServer(t, someConf)
		s.daemon.Start(t)
		return s.rig("stats_socket", s.path("stats-relay.sock"), "master_socket", s.path("master-relay.sock"), "update", byReload)
	})
}

// From a map.
func TestProof(t *testing.T) {
	targettest.Prove(t, func(t *testing.T) *targettest.Proof {
		s := newServer(t, someConf)
		s.daemon.Start(t)
		return s.proof(mapMode)
	})
}
