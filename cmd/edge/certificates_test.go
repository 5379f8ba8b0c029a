package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// Every way of validation works through the door itself, on its own ports.
func TestChallengesThroughTheDoor(t *testing.T) {
	for _, kind := range []string{"http-01", "tls-alpn-01", "tls-sni-01"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, edgetest.CAOptions{SNIOnly: kind == "tls-sni-01"}, nil)
			path := r.configure("  - hosts: [www.example.test]\n    tls: {challenges: [" + kind + "]}\n    proxy: BACKEND\n")
			_ = path
			r.start()
			r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
			if _, body := r.get(http.DefaultClient, "http://"+r.metrics+"/metrics"); !strings.Contains(body, `edge_challenge_responses_total{result="answered",type="`+kind+`"}`) {
				t.Errorf("%s was not what answered", kind)
			}
		})
	}
}

// Tokens that edge does not know go to the backend of the host, not into a
// redirect: there may be an ACME client behind.
func TestUnknownTokenGoesToBackend(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprint(w, "inner client: "+req.URL.Path)
	}))
	r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
	r.start()
	const path = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
	if status, body := r.get(r.client(false), "http://www.example.test"+path); status != 200 || body != "inner client: "+path {
		t.Errorf("got %d %q", status, body)
	}
	if status, _ := r.get(r.client(false), "http://www.example.test/other"); status != 308 {
		t.Errorf("another path: got %d", status)
	}
}

// The permission endpoint goes down: names that have a certificate do not
// notice, also after a restart; new names are refused quickly.
func TestAskEndpointDown(t *testing.T) {
	var mode atomic.Value
	mode.Store("yes")
	release := make(chan struct{})
	ask := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch mode.Load() {
		case "slow":
			<-release
		case "500":
			w.WriteHeader(500)
		}
	}))
	defer ask.Close()
	defer close(release)
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure("  - hosts: [\"*\"]\n    tls: {on_demand: {ask: \"" + ask.URL + "/allowed\"}}\n    proxy: BACKEND\n")
	r.start()
	if _, err := r.handshake("old.customers.test"); err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	for n, m := range []string{"500", "slow", "500 after restart", "slow after restart"} {
		if strings.HasSuffix(m, "restart") {
			r.stop()
			r.start()
		}
		mode.Store(strings.TrimSuffix(m, " after restart"))
		for range 20 {
			if _, err := r.handshake("old.customers.test"); err != nil {
				t.Fatalf("ask %s: an existing name failed: %v", m, err)
			}
		}
		start := time.Now()
		if _, err := r.handshake(fmt.Sprintf("new%d.customers.test", n)); err == nil {
			t.Errorf("ask %s: a new name got a certificate", m)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("ask %s: a new name was refused after %v", m, d)
		}
	}
	if n := r.ca.Orders(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
	// The endpoint says yes again, and the CA is down.
	mode.Store("yes")
	r.ca.Close()
	start := time.Now()
	if _, err := r.handshake("nobody.customers.test"); err == nil || time.Since(start) > 3*time.Second {
		t.Errorf("with the CA down, a new name: %v after %v", err, time.Since(start))
	}
	if _, err := r.handshake("old.customers.test"); err != nil {
		t.Errorf("with the CA down, an existing name: %v", err)
	}
}

// Half of all nonces are refused by the CA; every name gets its certificate.
func TestHalfOfAllNoncesBad(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{BadNonces: 50}, nil)
	r.configure("  - hosts: [a.example.test, b.example.test, c.example.test, d.example.test]\n    proxy: BACKEND\n")
	r.start()
	for _, n := range []string{"a", "b", "c", "d"} {
		deadline := time.Now().Add(60 * time.Second)
		for {
			_, err := r.handshake(n + ".example.test")
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v\n%s", n, err, r.log)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// The CA is down when a certificate is due: the old one is served, status and
// metrics say so, and the next attempt has a time.
func TestCADownAtRenewal(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{Profiles: map[string]time.Duration{"short": 12 * time.Second}}, nil)
	r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	r.ca.Fault(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "down")
		return true
	})
	r.eventually(func() error {
		for _, c := range r.door.manager.Statuses() {
			if c.Failures > 0 && c.LastError != "" && !c.NextAttempt.IsZero() {
				return nil
			}
		}
		return fmt.Errorf("no failed attempt in %+v", r.door.manager.Statuses())
	})
	if _, err := r.handshake("www.example.test"); err != nil {
		t.Errorf("the old certificate is not served: %v", err)
	}
	_, body := r.get(http.DefaultClient, "http://"+r.metrics+"/metrics")
	for _, want := range []string{`edge_certificate_renewal_failures{name="www.example.test"}`, `edge_certificate_next_attempt_timestamp_seconds{name="www.example.test"}`, `result="failure"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	r.ca.Fault(nil)
}
