package authenticator

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"edge"
	"edge/acmeglue"
)

// indexText is what certbot's standalone server says on its first page.
const indexText = "ACME client standalone challenge solver"

const (
	clientTime = 30 * time.Second // for a request, as certbot gives
	endGrace   = time.Second      // for connections that are open at the end
)

// server is what answers on one port.
type server struct {
	uses   int
	unbind func()                    // closes the listeners
	end    func(ctx context.Context) // waits for connections, a little
}

// tokens are the answers of HTTP-01, whatever host they are asked for: a redirect
// may have led a CA here. Safe for concurrent use.
type tokens struct {
	mu sync.Mutex
	m  map[string][]edge.Answer
}

func newTokens() *tokens { return &tokens{m: map[string][]edge.Answer{}} }

func (t *tokens) put(a edge.Answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[a.Token] = append(t.m[a.Token], a)
}

func (t *tokens) remove(a edge.Answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.m[a.Token]
	if i := slices.Index(list, a); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if t.m[a.Token] = list; len(list) == 0 {
		delete(t.m, a.Token)
	}
}

func (t *tokens) get(token string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.m[token]
	if len(list) == 0 {
		return "", false
	}
	return list[len(list)-1].KeyAuth, true
}

func (t *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	if r.URL.Path == "/" {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, indexText)
		return
	}
	if token, ok := strings.CutPrefix(r.URL.Path, edge.HTTP01Prefix); ok {
		if keyAuth, ok := t.get(token); ok {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = io.WriteString(w, keyAuth) // an answer that nobody reads any more
			return
		}
	}
	http.NotFound(w, r)
}

func serveHTTP(listeners []net.Listener, h http.Handler, log *slog.Logger) *server {
	s := &http.Server{
		Handler: h, ReadTimeout: clientTime, WriteTimeout: clientTime, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.SetKeepAlivesEnabled(false)
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() { _ = s.Serve(l) })
	}
	return &server{
		unbind: func() { closeAll(listeners) },
		end: func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, endGrace)
			defer cancel()
			if s.Shutdown(ctx) != nil {
				_ = s.Close() // connections that nobody needs any more
			}
			serving.Wait()
		},
	}
}

// closeAll lets go of the ports. Closing a listener cannot fail in a way that
// anybody could do something about.
func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// serveTLS answers handshakes of validating CAs; that is all there is to it.
func serveTLS(listeners []net.Listener, certs *acmeglue.Registry) *server {
	config := &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		var cert *tls.Certificate
		var ok bool
		var protos []string
		switch name := strings.ToLower(strings.TrimSuffix(h.ServerName, ".")); {
		case edge.IsACMEInvalid(name):
			cert, ok = certs.TLSSNI01(name)
		case slices.Equal(h.SupportedProtos, []string{edge.ALPNProto}):
			cert, ok = certs.TLSALPN01(name)
			protos = []string{edge.ALPNProto}
		}
		if !ok {
			return nil, edge.ErrNoCertificate
		}
		return &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: protos}, nil
	}}
	t := &handshakes{config: config, open: map[net.Conn]bool{}}
	for _, l := range listeners {
		t.wait.Go(func() { t.accept(l) })
	}
	return &server{unbind: func() { closeAll(listeners) }, end: t.end}
}

// handshakes owns the connections of a TLS server.
type handshakes struct {
	config *tls.Config
	wait   sync.WaitGroup

	mu    sync.Mutex
	ended bool
	open  map[net.Conn]bool
}

func (t *handshakes) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of file descriptors: others go away soon
			continue
		}
		t.mu.Lock()
		if t.ended {
			t.mu.Unlock()
			_ = c.Close()
			return
		}
		t.open[c] = true
		t.wait.Go(func() { t.shake(c) })
		t.mu.Unlock()
	}
}

func (t *handshakes) shake(c net.Conn) {
	defer func() {
		t.mu.Lock()
		delete(t.open, c)
		t.mu.Unlock()
	}()
	_ = c.SetDeadline(time.Now().Add(clientTime))
	conn := tls.Server(c, t.config)
	_ = conn.Handshake() // what became of it, the CA says
	_ = conn.Close()
}

// end waits for handshakes under way, and cuts what takes too long.
func (t *handshakes) end(ctx context.Context) {
	done := make(chan struct{})
	go func() { t.wait.Wait(); close(done) }()
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case <-done:
		return
	case <-ctx.Done():
	case <-grace.C:
	}
	t.mu.Lock()
	t.ended = true
	for c := range t.open {
		_ = c.Close()
	}
	t.mu.Unlock()
	<-done
}
