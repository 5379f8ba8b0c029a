package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"edge/internal/accesslog"
	"edge/internal/config"
)

func newServe() *cobra.Command {
	var path string
	var flags config.Flags
	var logLevel, logFormat string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the front door",
		Long: `Serve listens on the HTTP and HTTPS ports, obtains and renews certificates, and
proxies to the backends, as the configuration file says, or for one site that
is described by flags alone.

Signals: HUP reloads the configuration, USR1 reopens the logs, USR2 puts a new
process in the place of this one (edge upgrade), TERM and INT finish what is in
flight and exit; a second one exits at once.`,
		Example: `  edge serve
  edge serve --config ./edge.yaml
  edge serve --domain example.org --to 127.0.0.1:3000 --email me@example.org --agree-tos
  edge serve --domain example.test --to 127.0.0.1:3000 --agree-tos \
    --ca https://ca.example.test/directory --ca-root ca.pem`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPredecessor(func(from *predecessor) error {
				source, err := serveSource(cmd, path, flags)
				if err != nil {
					return err
				}
				cfg, err := source()
				if err != nil {
					return err
				}
				if logLevel != "" {
					cfg.Log.Level = logLevel
				}
				if logFormat != "" {
					cfg.Log.Format = logFormat
				}
				log, level, err := accesslog.NewLogger(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
				if err != nil {
					return usageError(err)
				}
				if logLevel != "" {
					level = nil // the flag wins over reloads
				}
				return serve(cmd.Context(), cfg, source, log, level, from)
			})
		},
	}
	configFlag(cmd, &path)
	f := cmd.Flags()
	f.StringSliceVarP(&flags.Domains, "domain", "d", nil, "`name` to serve without a configuration file; may be repeated")
	f.StringVar(&flags.To, "to", "", "backend of --domain: `host:port` or URL")
	f.StringVarP(&flags.Email, "email", "m", "", "`address` that the CA may write to")
	f.BoolVar(&flags.AgreeTOS, "agree-tos", false, "agree to the CA's terms of service")
	f.BoolVar(&flags.Staging, "staging", false, "use Let's Encrypt's staging environment: nobody trusts it, nothing is rate limited")
	f.StringVar(&flags.CA, "ca", "", "ACME directory `URL` (default Let's Encrypt)")
	f.StringVar(&flags.CARoot, "ca-root", "", "PEM `file` with the roots that the CA's own server is verified by")
	f.StringVar(&flags.Storage, "storage", "", "`folder` for accounts and certificates (default /var/lib/edge)")
	f.StringSliceVar(&flags.HTTP, "http", nil, "`address` of the HTTP listener (default :80)")
	f.StringSliceVar(&flags.HTTPS, "https", nil, "`address` of the HTTPS listener (default :443)")
	f.StringVar(&flags.Admin, "admin", "", "`path` of the admin socket (default /run/edge/admin.sock)")
	f.StringVar(&flags.Metrics, "metrics", "", "`address` of the metrics listener (default none)")
	f.StringVar(&logLevel, "log-level", "", "`level`: debug, info, warn or error")
	f.StringVar(&logFormat, "log-format", "", "`format`: json or text")
	return cmd
}

// flagsOnly are the flags that describe a site and make no sense beside a file.
var flagsOnly = []string{"domain", "to", "email", "agree-tos", "staging", "ca", "ca-root", "storage", "http", "https", "admin", "metrics"}

// serveSource returns the function that reads the configuration, at start and
// at every reload.
func serveSource(cmd *cobra.Command, path string, flags config.Flags) (func() (*config.Config, error), error) {
	var used []string
	for _, name := range flagsOnly {
		if cmd.Flags().Changed(name) {
			used = append(used, "--"+name)
		}
	}
	switch {
	case len(used) == 0:
		return func() (*config.Config, error) { return config.Load(path) }, nil
	case cmd.Flags().Changed("config"):
		return nil, usageError(fmt.Errorf("%s cannot be combined with --config: write it into the file", strings.Join(used, ", ")))
	case len(flags.Domains) == 0:
		return nil, usageError(fmt.Errorf("%s without --domain: name the site with --domain and --to, or use --config", strings.Join(used, ", ")))
	case flags.To == "":
		return nil, usageError(errors.New("--domain without --to: say where its requests go, as in --to 127.0.0.1:3000"))
	}
	return func() (*config.Config, error) { return config.FromFlags(flags) }, nil
}
