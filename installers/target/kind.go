package target

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/durable"
)

// Kind is a kind of target. It does not change.
type Kind struct {
	Name        string // as in the deliver key and after -a and -i: "haproxy"
	Description string // for `edge plugins`, a short sentence
	// Aliases are the names that certbot's plugins of this kind had:
	// "certbot-haproxy:haproxy-authenticator".
	Aliases  []string
	Settings []Setting
	// Single: the server has one certificate for all names, so that two deliveries to it
	// would take its place from each other, with each run anew.
	Single bool
	// Found says what there is of it on this machine ("HAProxy 2.6.12, socket
	// /run/haproxy/admin.sock"). The error says why it cannot be used. Nil: a service
	// elsewhere, for which nothing has to be here.
	Found func(ctx context.Context, v Values, env *Env) (string, error)
	// Target makes a place that a certificate is delivered to; nil: the kind installs
	// nothing.
	Target func(ctx context.Context, v Values, env *Env) (delivery.Target, error)
	// Authenticator makes what answers challenges; nil: the kind proves nothing.
	Authenticator func(ctx context.Context, v Values, env *Env) (Authenticator, error)
}

// Authenticator answers challenges. It is acmeglue.Authenticator, which has the
// contract of the methods.
type Authenticator interface {
	Name() string
	Types() []edge.ChallengeType
	Present(ctx context.Context, batch []edge.Answer) error
	Ready(ctx context.Context, batch []edge.Answer) error
	Cleanup(ctx context.Context, batch []edge.Answer) error
}

// Env is the world of one target.
type Env struct {
	Name    string // of the lineage or the host that is delivered; empty for authenticators
	Durable durable.Writer
	// State is a folder for what deliveries have to remember that is secret, see package
	// kept. Whoever needs it makes it, mode 0700. Empty: nothing can be kept.
	State string
	// Run runs a program to its end: installers.Run.
	Run func(ctx context.Context, argv []string) (output string, err error)
	// Exec is for programs that need an environment, or something to read: installers.Exec.
	Exec func(ctx context.Context, p installers.Program) (installers.Said, error)
	// Dial connects to control sockets and services; (*net.Dialer).DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Signal sends a signal to a process: syscall.Kill.
	Signal func(pid int, sig syscall.Signal) error
	// Transport, where set, is put around the transport of requests to services.
	Transport func(http.RoundTripper) http.RoundTripper
	// Wait passes the time between two tries; nil: a timer.
	Wait   func(ctx context.Context, d time.Duration) error
	Getenv func(string) string
	Now    func() time.Time
	Log    *slog.Logger
	// Runner and Lock are for servers whose plans are carried out here, see delivery.Local.
	Runner *installers.Runner
	Lock   func(ctx context.Context, s installers.Server, root string) (release func() error, err error)
	// Verify is where the live server has to show the certificate beside the places that
	// the target finds itself, without names. Within is how long it may take; zero: what
	// is usual for the kind.
	Verify []installers.Endpoint
	Within time.Duration
}

// Installs and Proves say what the kind can do.
func (k *Kind) Installs() bool { return k.Target != nil }

// Proves reports whether it answers challenges.
func (k *Kind) Proves() bool { return k.Authenticator != nil }

// Setting returns the setting of that name, nil where the kind has none.
func (k *Kind) Setting(name string) *Setting {
	for i := range k.Settings {
		if k.Settings[i].Name == name {
			return &k.Settings[i]
		}
	}
	return nil
}
