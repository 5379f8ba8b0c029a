package external

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/target"
	"edge/internal/durable"
)

// Kind describes external for configuration, flags and docs.
func Kind() target.Kind {
	return target.Kind{
		Name:        "external",
		Description: "A script of yours answers challenges, as for certbot-external",
		Aliases:     []string{"certbot-external:external", "certbot-external-auth:out"},
		Settings: []target.Setting{
			{Name: "handler", Type: target.Path, Default: "/etc/letsencrypt/external-handler.sh", Proves: true,
				Doc: "the script", Old: []string{"certbot-external:external-handler", "certbot-external-auth:out-handler"}},
			{Name: "challenges", Type: target.List, Default: "http-01,dns-01,tls-alpn-01,tls-sni-01", Proves: true,
				Doc: "what the script can answer, what it does best first"},
			{Name: "port", Type: target.Number, Default: "443", Proves: true, Doc: "what the script is told as the port of TLS challenges"},
			{Name: "timeout", Type: target.Duration, Default: "15m", Proves: true, Doc: "how long one call of the script may take"},
			{Name: "work_dir", Type: target.Path, Default: "/var/lib/letsencrypt", Proves: true, Doc: "where the certificates of TLS challenges are put, in a folder external"},
		},
		Found: func(_ context.Context, v target.Values, _ *target.Env) (string, error) {
			path := v.Text("handler")
			if err := trusted(path); err != nil {
				return "", err
			}
			return "script " + path, nil
		},
		Authenticator: func(_ context.Context, v target.Values, env *target.Env) (target.Authenticator, error) {
			o := Options{
				Handler: v.Text("handler"), WorkDir: v.Text("work_dir"), Port: v.Number("port"), Timeout: v.Duration("timeout"), Stdin: os.Stdin,
				Exec: env.Exec, Durable: env.Durable, Log: env.Log,
			}
			if !v.IsSet("work_dir") && env.Runner != nil {
				o.WorkDir = cmp.Or(env.Runner.Work, o.WorkDir)
			}
			for _, c := range v.List("challenges") {
				o.Types = append(o.Types, edge.ChallengeType(c))
			}
			return New(o)
		},
	}
}

// Options are what an Authenticator is made of.
type Options struct {
	Handler string // absolute path of the script
	Types   []edge.ChallengeType
	WorkDir string        // certbot's: the files are in WorkDir/external
	Port    int           // as the script is told; zero: 443
	Timeout time.Duration // of one call; zero: 15 minutes
	Stdin   *os.File      // the script's; nil: nothing
	Exec    func(ctx context.Context, p installers.Program) (installers.Said, error)
	Durable durable.Writer
	Log     *slog.Logger // nil: none
}

// New checks the options. The script is looked at when it is needed.
func New(o Options) (*Authenticator, error) {
	if len(o.Types) == 0 {
		return nil, fmt.Errorf("external: no challenge is named")
	}
	for i, c := range o.Types {
		if !slices.Contains(edge.ChallengeTypes, c) || slices.Contains(o.Types[:i], c) {
			return nil, fmt.Errorf("external: %q is not possible there; name some of %v, each once", c, edge.ChallengeTypes)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Port = cmp.Or(o.Port, 443)
	o.Timeout = cmp.Or(o.Timeout, 15*time.Minute)
	return &Authenticator{o: o}, nil
}
