package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"edge"
)

// Options are what a socket is made of.
type Options struct {
	Path      string
	AllowUIDs []uint32 // may do everything, as root and edge's own user may
	Backend   Backend
	Log       *slog.Logger
	Listener  *net.UnixListener // the socket at Path, of a process whose place this one takes; nil: a new one
}

// Server is the admin socket.
type Server struct {
	o      Options
	l      *net.UnixListener
	server *http.Server
	once   sync.Once
	left   atomic.Bool // to another process

	writeTimeout time.Duration // of an answer, from when there is one
}

// Listen creates the socket, mode 0660. A socket that is left over from an
// earlier process is replaced; one that somebody answers on is not.
func Listen(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("component", "admin")
	l := o.Listener
	if l == nil {
		var err error
		if l, err = create(o.Path); err != nil {
			return nil, err
		}
	}
	l.SetUnlinkOnClose(false)
	s := &Server{o: o, l: l, writeTimeout: 10 * time.Second}
	s.server = &http.Server{
		Handler:           s.bounded(s.routes()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func create(path string) (*net.UnixListener, error) {
	if err := makeRoom(path); err != nil {
		return nil, err
	}
	// The socket is made under another name, with nobody let in, and takes its
	// place once its mode is right: there is no moment at which everybody can connect.
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(temp)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w; its folder has to belong to the user that edge runs as (uid %d)", path, err, os.Geteuid())
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(temp, 0o660); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		l.Close()
		os.Remove(temp)
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	return l, nil
}

// Socket is what a process that takes this one's place goes on with.
func (s *Server) Socket() syscall.Conn { return s.l }

// Leave leaves the socket to another process: when it returns, nothing more is
// accepted here. Calls in progress are answered until the context of Serve ends, and
// the socket stays where it is.
func (s *Server) Leave() {
	s.once.Do(func() {
		s.left.Store(true)
		s.server.SetKeepAlivesEnabled(false)
		s.l.Close()
	})
}

// finish answers what has been accepted, once the socket was left.
func (s *Server) finish(ctx context.Context) {
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.server.Shutdown(grace)
}

// makeRoom makes sure that nothing is at path but what we may replace.
func makeRoom(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("admin socket %s: %w; create its folder for the user that edge runs as (uid %d)", path, err, os.Geteuid())
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("admin socket %s: %w", path, err)
	case info.Mode()&os.ModeSocket == 0:
		return fmt.Errorf("admin socket %s: something else is there (%s); name another path with admin.socket", path, info.Mode())
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		defer c.Close()
		who := ""
		if p, err := peerOf(c); err == nil {
			who = fmt.Sprintf(" (PID %d)", p.pid)
		}
		return fmt.Errorf("admin socket %s: another edge%s is running; stop it, or give this one another admin.socket", path, who)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("admin socket %s: %w", path, err)
	}
	return nil
}

// Serve answers until ctx ends, and takes the socket away then.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		if !s.left.Load() {
			s.server.Close()
		}
	})
	defer s.Close()
	defer stop()
	err := s.server.Serve(&limited{UnixListener: s.l, slots: make(chan struct{}, maxConns)})
	if s.left.Load() {
		s.finish(ctx)
		s.server.Close()
		return nil
	}
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends the server and removes its socket, if it is still its own.
func (s *Server) Close() {
	s.once.Do(s.close)
}

func (s *Server) close() {
	s.server.Close()
	s.l.Close()
	if c, err := net.DialTimeout("unix", s.o.Path, time.Second); err == nil {
		c.Close() // somebody else has taken the place
		return
	}
	os.Remove(s.o.Path)
}

// maxConns bounds the connections at a time.
const maxConns = 64

// limited is a listener with a bounded number of connections.
type limited struct {
	*net.UnixListener
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.UnixListener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{UnixConn: c.(*net.UnixConn), slots: l.slots}, nil
}

type slotConn struct {
	*net.UnixConn
	slots chan struct{}
	once  sync.Once
}

func (c *slotConn) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.UnixConn.Close()
}

// bounded gives every answer a time in which it has to be read: callers that do
// not read would hold their connections, and so keep others out.
func (s *Server) bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mustReadBy(w, time.Now().Add(s.writeTimeout))
		defer func() {
			if v := recover(); v != nil {
				s.o.Log.Error("panic", "path", r.URL.Path, "error", v, "stack", string(debug.Stack()))
				panic(http.ErrAbortHandler)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

func (s *Server) mustReadBy(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetWriteDeadline(t)
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.allow(rightStatus, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, s.o.Backend.Status())
	}))
	mux.HandleFunc("POST /v1/reload", s.allow(rightAll, func(w http.ResponseWriter, r *http.Request) {
		s.mustReadBy(w, time.Time{}) // a reload takes the time it takes
		err := s.o.Backend.Reload(r.Context())
		s.mustReadBy(w, time.Now().Add(s.writeTimeout))
		if err != nil {
			fail(w, http.StatusUnprocessableEntity, err.Error())
			return
		}
		reply(w, http.StatusOK, struct{}{})
	}))
	mux.HandleFunc("POST /v1/upgrade", s.allow(rightAll, func(w http.ResponseWriter, _ *http.Request) {
		s.mustReadBy(w, time.Time{}) // the new process takes the time it takes
		result, err := s.o.Backend.Upgrade()
		s.mustReadBy(w, time.Now().Add(s.writeTimeout))
		if err != nil {
			fail(w, http.StatusUnprocessableEntity, err.Error())
			return
		}
		reply(w, http.StatusOK, result)
	}))
	mux.HandleFunc("PUT /v1/challenges", s.allow(rightAll, s.challenge(s.o.Backend.PutChallenge)))
	mux.HandleFunc("DELETE /v1/challenges", s.allow(rightAll, s.challenge(func(a edge.Answer) error {
		s.o.Backend.RemoveChallenge(a)
		return nil
	})))
	mux.HandleFunc("GET /v1/certificates/{name}", s.allow(rightAll, func(w http.ResponseWriter, r *http.Request) {
		b, err := s.o.Backend.Certificate(r.PathValue("name"))
		switch {
		case errors.Is(err, ErrNotFound):
			fail(w, http.StatusNotFound, err.Error())
		case err != nil:
			fail(w, http.StatusInternalServerError, err.Error())
		default:
			reply(w, http.StatusOK, Certificate{string(b.Chain), string(b.Key)})
		}
	}))
	mux.HandleFunc("GET /v1/lineages", s.allow(rightAll, s.lineages))
	mux.HandleFunc("PUT /v1/lineages/{name}", s.allow(rightAll, s.putLineage))
	mux.HandleFunc("PUT /v1/steward/report", s.allow(rightAll, s.stewardReport))
	return mux
}

// allow checks who calls, at every call.
func (s *Server) allow(need right, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := requestPeer(r)
		if err == nil {
			err = s.check(p, need)
		}
		if err != nil {
			s.o.Log.Warn("refused", "path", r.URL.Path, "error", err)
			fail(w, http.StatusForbidden, err.Error())
			return
		}
		if need == rightAll {
			s.o.Log.Info("admin call", "method", r.Method, "path", r.URL.Path, "uid", p.uid, "pid", p.pid)
		}
		h(w, r)
	}
}

// maxBody bounds what a caller may send as a challenge.
const maxBody = 64 << 10

// decode reads the body of a request: one object of at most limit bytes, all of
// whose fields are known.
func decode(w http.ResponseWriter, r *http.Request, limit int64, to any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return err
	}
	// Two objects in one body, or more than the limit: neither is taken in part.
	switch _, err := dec.Token(); err {
	case nil:
		return errors.New("one object is expected, and there is more")
	case io.EOF:
		return nil
	default:
		return err
	}
}

func (s *Server) challenge(do func(edge.Answer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var c Challenge
		if err := decode(w, r, maxBody, &c); err != nil {
			fail(w, http.StatusBadRequest, fmt.Sprintf("challenge: %v", err))
			return
		}
		id, err := edge.ParseIdentifier(c.Identifier)
		if err == nil {
			err = do(edge.Answer{Type: c.Type, Identifier: id, Token: c.Token, KeyAuth: c.KeyAuth})
		}
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// problem is the body of every error.
type problem struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, status int, msg string) { reply(w, status, problem{msg}) }

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
