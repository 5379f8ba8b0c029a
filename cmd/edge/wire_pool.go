package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"edge/internal/config"
	"edge/proxy"
	"edge/proxy/pool"
	"edge/proxy/upstream"
)

// poolName is how a pool is called in logs and metrics.
func poolName(p config.Pool) string {
	if p.Name != "" {
		return p.Name
	}
	return p.URLs()[0]
}

// poolKey names a pool. Two routes with the same servers and the same settings
// share one, and a pool that the next configuration has as well is kept.
func poolKey(p config.Pool) string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // it holds nothing that JSON cannot say
	}
	sum := sha256.Sum256(b)
	return poolName(p) + "#" + hex.EncodeToString(sum[:6])
}

// upstreamOptions are those of one server of a pool.
func upstreamOptions(p config.Pool, b config.Server) (upstream.Options, error) {
	o := upstream.Options{
		ConnectTimeout: p.ConnectTimeout, HeaderTimeout: p.HeaderTimeout, BodyTimeout: p.BodyTimeout, IdleTimeout: p.KeepAlive,
		ProxyProtocol: p.ProxyProtocol,
	}
	if strings.HasPrefix(b.To, "unix:") {
		o.Scheme, o.Address = "http", b.To
		return o, nil
	}
	u, err := url.Parse(b.To)
	if err != nil {
		return o, fmt.Errorf("proxy %s: %w", b.To, err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "h2c": "80"}[u.Scheme]
	}
	o.Scheme, o.Address, o.ServerName = u.Scheme, net.JoinHostPort(u.Hostname(), port), u.Hostname()
	if o.Scheme == "https" {
		err = upstreamTLS(&o, p.TLS)
	}
	return o, err
}

func upstreamTLS(o *upstream.Options, t config.UpstreamTLS) error {
	if t.ServerName != "" {
		o.ServerName = t.ServerName
	}
	if t.Roots != nil {
		o.Roots = x509.NewCertPool()
		o.Roots.AppendCertsFromPEM(t.Roots) // config has checked it
	}
	if t.Cert == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(t.Cert, t.Key)
	if err != nil {
		return fmt.Errorf("certificate for the upstream %s: %w", o.Address, err)
	}
	o.Identity = &pair
	return nil
}

func poolOptions(p config.Pool, log *slog.Logger) (pool.Options, error) {
	o := pool.Options{
		Name: poolName(p), Balance: pool.Balance(p.Balance), SlowStart: p.SlowStart,
		MaxConnections: p.MaxConnections, Queue: p.Queue, QueueTimeout: p.QueueTimeout, Total: p.Total, Log: log,
		Eject: pool.Ejection{Off: p.Eject.Off, Failures: p.Eject.Failures, For: p.Eject.For, MaxFor: p.Eject.MaxFor, MaxPercent: p.Eject.MaxPercent},
		Retry: pool.Retry{Attempts: p.Retry.Attempts, Budget: p.Retry.Budget, Status: p.Retry.Status},
	}
	for _, b := range p.Servers {
		u, err := upstreamOptions(p, b)
		if err != nil {
			return o, err
		}
		o.Servers = append(o.Servers, pool.Server{Options: u, Weight: b.Weight, Backup: b.Backup})
	}
	if d := p.Discover; d != nil {
		template, err := upstreamOptions(p, config.Server{To: d.URL()})
		if err != nil {
			return o, err
		}
		port := d.Port
		if port == "" {
			_, port, _ = net.SplitHostPort(template.Address)
		}
		if d.Type == "srv" {
			template.ServerName = p.TLS.ServerName // or that of each record
		}
		template.Address = ""
		o.Template, o.Discover = template, &pool.Discover{Name: d.Name, Type: d.Type, Port: port, Interval: d.Interval, Resolver: d.Resolver}
	}
	if s := p.Sticky; s != nil {
		o.Sticky = &pool.Sticky{Cookie: s.Cookie, Secret: []byte(s.Secret), TTL: s.TTL, Secure: !s.Plain}
	}
	if h := p.Health; h != nil {
		o.Health = &pool.Health{Type: h.Type, Path: h.Path, Host: h.Host, Status: h.Status, Interval: h.Interval, Timeout: h.Timeout, Rise: h.Rise, Fall: h.Fall}
	}
	return o, nil
}

// forward maps servers that get TCP connections as they are.
func forward(f *config.Forward) *proxy.Forward {
	if f == nil {
		return nil
	}
	return &proxy.Forward{Servers: f.To, ProxyProtocol: f.ProxyProtocol, ConnectTimeout: f.ConnectTimeout, Idle: f.Idle}
}

// passthrough lists the sites whose TLS is not ended here, by host.
func passthrough(cfg *config.Config) map[string]*proxy.Forward {
	out := map[string]*proxy.Forward{}
	for _, s := range cfg.Sites {
		for _, h := range s.Hosts {
			if s.TLS.Forward != nil {
				out[h] = forward(s.TLS.Forward)
			}
		}
	}
	return out
}

// clientAuths lists what sites ask of their clients, by host: also those that ask
// for nothing, which may be below another site's wildcard.
func clientAuths(cfg *config.Config) (map[string]*proxy.ClientAuth, error) {
	out, asked := map[string]*proxy.ClientAuth{}, false
	for _, s := range cfg.Sites {
		c := s.TLS.ClientAuth
		if c == nil {
			for _, h := range s.Hosts {
				out[h] = nil
			}
			continue
		}
		asked = true
		a := &proxy.ClientAuth{Mode: c.Mode, Roots: x509.NewCertPool()}
		a.Roots.AppendCertsFromPEM(c.Roots) // config has checked it
		for _, der := range c.CRLs {
			crl, err := x509.ParseRevocationList(der)
			if err != nil {
				return nil, fmt.Errorf("site %s: revocation list: %w", siteName(s), err)
			}
			a.CRLs = append(a.CRLs, crl)
		}
		for _, h := range s.Hosts {
			out[h] = a
		}
	}
	if !asked {
		return nil, nil
	}
	return out, nil
}

func tcpListeners(cfg *config.Config) (out []proxy.TCPListener) {
	for _, t := range cfg.Listen.TCP {
		l := proxy.TCPListener{Address: t.Address, To: forward(t.To)}
		if t.SNI != nil {
			l.BySNI = map[string]*proxy.Forward{}
		}
		for name, f := range t.SNI {
			l.BySNI[name] = forward(f)
		}
		out = append(out, l)
	}
	return out
}
