package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"edge"
	"edge/acmeglue/steward"
	"edge/internal/admin"
	"edge/internal/config"
	"edge/metrics"
)

// doorClient is the front door's admin socket as a Steward sees it.
type doorClient struct{ c *admin.Client }

// openDoor connects to the front door if one answers at the socket.
func openDoor(ctx context.Context, socket string) (*doorClient, func()) {
	if info, err := os.Stat(socket); err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil, func() {}
	}
	c := admin.NewClient(socket)
	return &doorClient{c}, c.Close
}

// Listeners implements steward.Door.
func (d *doorClient) Listeners(ctx context.Context) (plain, tls []string, err error) {
	status, err := d.c.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range status.Listeners {
		if l.Name == "https" {
			tls = append(tls, l.Address)
		} else {
			plain = append(plain, l.Address)
		}
	}
	return plain, tls, nil
}

func challenge(a edge.Answer) admin.Challenge {
	return admin.Challenge{Type: a.Type, Identifier: a.Identifier.Value, Token: a.Token, KeyAuth: a.KeyAuth}
}

// PutChallenge implements steward.Door.
func (d *doorClient) PutChallenge(ctx context.Context, a edge.Answer) error {
	return d.c.PutChallenge(ctx, challenge(a))
}

// RemoveChallenge implements steward.Door.
func (d *doorClient) RemoveChallenge(ctx context.Context, a edge.Answer) error {
	return d.c.RemoveChallenge(ctx, challenge(a))
}

// Lineages implements steward.Door.
func (d *doorClient) Lineages(ctx context.Context) ([]edge.LineageStatus, error) {
	return d.c.Lineages(ctx)
}

// PutLineage implements steward.Door.
func (d *doorClient) PutLineage(ctx context.Context, name string, b edge.Bundle) error {
	_, err := d.c.PutLineage(ctx, name, b)
	return err
}

// textfileDir is where Debian's node exporter looks for metrics of others.
const textfileDir = "/var/lib/prometheus/node-exporter"

// publish tells Prometheus how the run went: by the node exporter, and by the
// front door, where these are. Neither is a reason for the run to fail.
func (c *client) publish(ctx context.Context, s *steward.Steward) {
	report := s.Report()
	if c.o.DryRun || len(report.Lineages) == 0 && !report.Complete {
		return
	}
	if dir := c.textfileDir(); dir != "" {
		if err := metrics.WriteTextfile(filepath.Join(dir, "edge.prom"), report); err != nil {
			c.logger.Warn("metrics of this run were not written", "error", err)
		}
	}
	door, closeDoor := openDoor(ctx, c.o.AdminSocket)
	defer closeDoor()
	if door == nil {
		return
	}
	if err := door.c.PutStewardReport(ctx, report.Bounded()); err != nil {
		c.logger.Debug("the front door did not take the report of this run", "error", err)
	}
}

// textfileDir is empty where nobody collects: a run on folders of somebody's own
// is not this machine's.
func (c *client) textfileDir() string {
	if dir, set := os.LookupEnv("EDGE_TEXTFILE_DIR"); set {
		return dir
	}
	info, err := os.Stat(textfileDir)
	if err != nil || !info.IsDir() || c.o.ConfigDir != "/etc/letsencrypt" {
		return ""
	}
	return textfileDir
}

// configured are the lineages that the front door's configuration wants. Called as
// certbot, edge does what certbot would.
func (c *client) configured() ([]steward.Configured, error) {
	if c.asCertbot || c.o.Verb != "renew" {
		return nil, nil
	}
	if _, err := os.Stat(c.o.EdgeConfig); errors.Is(err, os.ErrNotExist) && !c.o.IsSet("edge_config") {
		return nil, nil
	}
	cfg, err := config.LoadTrusted(c.o.EdgeConfig)
	if err != nil {
		return nil, fmt.Errorf("certificates of the configuration: %w", err)
	}
	list := []steward.Configured{} // nil would be: there is no configuration
	for _, w := range cfg.Certificates {
		x := steward.Configured{
			Name: w.Name, Hosts: w.Hosts, Challenges: challengeTypes(cfg.ACME.Challenges), KeyType: cfg.ACME.KeyType,
			Email: cfg.ACME.Email, DNS: dnsOptions(cfg.ACME.DNS),
			HTTPPort: portOf(cfg.Listen.HTTP), TLSPort: portOf(cfg.Listen.HTTPS),
		}
		if w.Challenges != nil {
			x.Challenges = challengeTypes(w.Challenges)
		}
		if w.KeyType != "" {
			x.KeyType = w.KeyType
		}
		if w.DNS != nil {
			x.DNS = dnsOptions(w.DNS)
		}
		cas := cfg.ACME.CAs
		if w.CAs != nil {
			cas = w.CAs
		}
		if x.CAs, err = configuredCAs(cas, w.Profile); err != nil {
			return nil, fmt.Errorf("certificates: %s: %w", w.Name, err)
		}
		list = append(list, x)
	}
	return list, nil
}

// portOf is the first port that is written out: 0 where sockets come from elsewhere.
func portOf(addresses []string) int {
	for _, a := range addresses {
		_, port, err := net.SplitHostPort(a)
		if err != nil || strings.HasPrefix(a, "fd:") {
			continue
		}
		if n, err := strconv.Atoi(port); err == nil {
			return n
		}
	}
	return 0
}

func configuredCAs(cas []config.CA, profile string) ([]steward.ConfiguredCA, error) {
	var list []steward.ConfiguredCA
	for _, ca := range cas {
		x := steward.ConfiguredCA{Directory: ca.Directory, Profile: ca.Profile, PreferredChain: ca.PreferredChain}
		if profile != "" {
			x.Profile = profile
		}
		if ca.EAB != nil {
			x.EABKID, x.EABHMAC = ca.EAB.KID, ca.EAB.HMAC
		}
		var err error
		if x.Roots, err = rootPool(ca.Roots); err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}

// trustedRoots are those of REQUESTS_CA_BUNDLE, which certbot's users set for CAs of
// their own: a file, or a folder of files. Nil: the system's, or those of
// SSL_CERT_FILE.
func trustedRoots() (*x509.CertPool, error) {
	path := os.Getenv("REQUESTS_CA_BUNDLE")
	if path == "" {
		return nil, nil
	}
	files := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*")); err != nil {
			return nil, err
		}
	}
	pool := x509.NewCertPool()
	found := false
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("REQUESTS_CA_BUNDLE: %w", err)
		}
		found = pool.AppendCertsFromPEM(raw) || found
	}
	if !found {
		return nil, fmt.Errorf("REQUESTS_CA_BUNDLE: %s has no certificate in PEM form", path)
	}
	return pool, nil
}
