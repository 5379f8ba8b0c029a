package steward

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/authenticator"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
	"edge/internal/durable"
)

// Options are what a Steward needs of its surroundings. Tree, Display
// and Hooks have to be set.
type Options struct {
	Tree    *lineage.Tree
	Display display.Display
	Log     *slog.Logger

	// Storage has what is edge's own and certbot does not know: unfinished orders,
	// back-off, what CAs said about renewals. It is a folder that only the owner of
	// the tree can read. Nil: nothing is kept, which is for those who only read.
	Storage *acmeglue.FileStorage

	Hooks      Hooks
	HookRunner authenticator.HookRunner // of the authenticator manual
	Door       Door                     // nil: no front door on this machine
	WebServers WebServers               // nil: none that can be configured

	AsCertbot bool   // called through a file of that name: its ways where they differ
	Program   string // what the texts call us: "certbot", "edge"
	Version   string
	Arguments []string // of the command line, for texts

	In       *os.File  // of a person; nil: nobody is there
	Out      io.Writer // the display's
	Terminal bool      // somebody sits at In

	// Configured are the lineages that the front door's configuration wants; renew
	// obtains what is missing of them. Nil: there is no configuration.
	Configured []Configured

	Roots *x509.CertPool // of ACME servers; nil: the system's
	HTTP  *http.Client   // for OCSP responders; nil: one of our own

	// Preflight is for tests: where a CA comes to, and how names resolve.
	Preflight authenticator.PreflightOptions

	// Durable writes accounts. Tests count its steps; the tree and the storage have
	// writers of their own.
	Durable durable.Writer

	Now   func() time.Time
	Rand  func() float64 // uniform in [0, 1)
	Sleep func(ctx context.Context, d time.Duration) error
}

// Door is the front door of this machine, by its admin socket.
type Door interface {
	authenticator.DoorClient
	// Lineages are those that the door's sites use, with what it has of each.
	Lineages(ctx context.Context) ([]edge.LineageStatus, error)
	// PutLineage has the door serve a lineage from now on.
	PutLineage(ctx context.Context, name string, b edge.Bundle) error
}

// HookCommands are the hooks of one lineage; any may be empty.
type HookCommands struct {
	Pre, Deploy, Post, OnFailure string
}

// Hooks is a session of people's scripts: pre and post hooks run once, whatever
// number of lineages there is. Safe for concurrent use.
type Hooks interface {
	Pre(ctx context.Context, h HookCommands) error
	Deploy(ctx context.Context, h HookCommands, live string, domains []string) error
	OnFailure(ctx context.Context, h HookCommands, name string, domains []string, cause error) error
	Post(ctx context.Context, renewed, failed []string) error
	// Err is all failures so far.
	Err() error
	// Seconds is the time that hooks have taken for a lineage, "" for pre and post.
	Seconds(live string) float64
}

// Steward does the work of one command line.
type Steward struct {
	o     Options
	cache *cache
	door  doorView

	report edge.StewardReport
	owed   []error // servers that do not use a certificate which is new

	mu         sync.Mutex
	issuers    map[string]*acmeglue.Issuer // by server and account
	roots      map[string]*x509.CertPool   // of servers that have their own
	standalone map[string]*authenticator.Standalone
	silences   map[string]int // of CAs and responders, in a row; see patience
	exclusive  sync.Mutex     // scripts, people and web servers do one order at a time

	serversMu sync.Mutex
	servers   map[string]WebServer // that are open, by what the options say of them
}

// New returns a Steward.
func New(ctx context.Context, o Options) *Steward {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 15 * time.Second}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	c, err := &cache{known: map[string]answers{}}, error(nil)
	if o.Storage != nil {
		c, err = loadCache(ctx, o.Storage)
	}
	if err != nil {
		o.Log.Warn("what CAs said about renewals cannot be read; they are asked again", "error", err)
	}
	return &Steward{o: o, cache: c, issuers: map[string]*acmeglue.Issuer{}, roots: map[string]*x509.CertPool{}, standalone: map[string]*authenticator.Standalone{}, silences: map[string]int{}, servers: map[string]WebServer{}}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run does what the command line says. The error is for people; see Code for
// what it means to the shell.
func (s *Steward) Run(ctx context.Context, o *certbotcli.Options) error {
	verbs := map[string]func(context.Context, *certbotcli.Options) error{
		"run": s.run, "certonly": s.certonly, "renew": s.renew, "install": s.install, "enhance": s.enhance,
		"certificates": s.certificates, "delete": s.remove, "revoke": s.revoke, "rollback": s.rollback,
		"reconfigure": s.reconfigure, "register": s.register, "update_account": s.updateAccount,
		"unregister": s.unregister, "show_account": s.showAccount, "plugins": s.plugins, "update_symlinks": s.updateSymlinks,
		HooksTest: s.testHooks, AccountRollover: s.rollover,
	}
	verb, ok := verbs[o.Verb]
	if !ok {
		return fmt.Errorf("the verb %s is not known here", o.Verb)
	}
	s.report.Verb, s.report.Start = o.Verb, s.o.Now()
	err := verb(ctx, o)
	s.report.End = s.o.Now()
	if err == nil {
		err = errors.Join(s.owed...)
	}
	if err != nil {
		s.report.Error = err.Error()
	}
	if hooksErr := s.o.Hooks.Err(); err == nil && hooksErr != nil && o.StrictHooks {
		err = &HookError{hooksErr}
	}
	return err
}

// Report is how the run went, for metrics. It is empty for verbs that leave
// certificates alone.
func (s *Steward) Report() edge.StewardReport { return s.report }

// notify prints without a frame, as most of certbot's texts are.
func (s *Steward) notify(format string, args ...any) {
	s.o.Display.Notify(fmt.Sprintf(format, args...), false)
}
