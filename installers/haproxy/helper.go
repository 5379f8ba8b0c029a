package haproxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"edge"
	"edge/internal/portholder"
)

// listener answers behind HAProxy, as certbot-haproxy did, while something is to be
// answered.
type listener struct {
	server *http.Server
	done   chan struct{}
}

// listen is called with the mutex held.
func (a *Authenticator) listen() error {
	if a.helper != nil {
		return nil
	}
	addr := fmt.Sprintf("127.0.0.1:%d", a.a.Port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if who := portholder.Text(a.a.Port); who != "" {
			err = fmt.Errorf("%w: it is taken by %s; choose another http_01_port, in HAProxy's backend as well", err, who)
		}
		return fmt.Errorf("haproxy: %w", err)
	}
	h := &listener{
		server: &http.Server{Handler: http.HandlerFunc(a.serve), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(h.done)
		_ = h.server.Serve(l) // ends with close
	}()
	a.helper = h
	return nil
}

func (h *listener) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := h.server.Shutdown(ctx)
	if err != nil {
		err = h.server.Close()
	}
	<-h.done
	return err
}

func (a *Authenticator) serve(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.URL.Path, edge.HTTP01Prefix)
	keyAuth, known := a.given.Load(token)
	if !ok || !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = fmt.Fprint(w, keyAuth)
}
