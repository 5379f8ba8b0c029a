package icecast

import (
	"context"
	"os"

	"edge/installers"
)

// Activate implements installers.Server: Icecast is restarted, unless it shows the leaf
// of the bundle already, or nobody but people may do it.
func (i *Icecast) Activate(ctx context.Context) error {
	if i.when.never || i.same && i.shows(ctx) {
		return nil
	}
	_, argv := i.Commands()
	_, err := i.o.Run(ctx, argv)
	return err
}

// shows reports whether all places of the configuration show the leaf.
func (i *Icecast) shows(ctx context.Context) bool {
	_, doc, err := i.load()
	if err != nil {
		return false
	}
	leaf, err := i.leaf()
	at, _ := doc.places()
	if err != nil || len(at) == 0 {
		return false
	}
	for _, e := range at {
		if got, err := installers.Shows(ctx, e, leaf); err != nil || !got.Equal(leaf) {
			return false
		}
	}
	return true
}

// Commands implements installers.Server.
func (i *Icecast) Commands() (test, activate []string) {
	switch {
	case i.when.never:
		return nil, nil
	case len(i.o.Command) > 0:
		return nil, i.o.Command
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return nil, []string{"systemctl", "restart", "icecast2"}
	}
	return nil, []string{"service", "icecast2", "restart"}
}
