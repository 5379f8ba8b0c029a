package authenticator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"edge"
	"edge/acmeglue"
)

// The DNS plugins of certbot that there are.
const (
	Cloudflare = "dns-cloudflare"
	RFC2136    = "dns-rfc2136"
)

// DNSOptions are certbot's flags for a DNS plugin.
type DNSOptions struct {
	Plugin      string // Cloudflare or RFC2136
	Credentials string // --dns-X-credentials: an INI file
	// Propagation is --dns-X-propagation-seconds: how long to wait before the CA is
	// asked. With DefaultPropagation, which negative stands for as well, the wait
	// ends once every name server of the zone has the records.
	Propagation time.Duration

	Log *slog.Logger

	// Nameservers are asked for the records in the place of those that the zone
	// names: "host:port". Tests, and zones whose servers cannot be reached from here.
	Nameservers []string
	HTTPClient  *http.Client // for the provider; nil: one of our own
}

// DefaultPropagation is what certbot waits for a plugin.
func DefaultPropagation(plugin string) time.Duration {
	if plugin == RFC2136 {
		return 60 * time.Second
	}
	return 10 * time.Second
}

// DNS writes TXT records at a provider (certbot: plugins/dns_common.py). Safe for
// concurrent use: records are written one after the other. The credentials are read
// anew for each batch, so that a change of the file needs no restart.
type DNS struct {
	o DNSOptions

	writing chan struct{} // has the token of whoever writes, and guards made
	made    map[edge.Answer]*record
}

// record is one that we made. Orders that have the same answer share it.
type record struct {
	writer acmeglue.Authenticator
	uses   int
}

// NewDNS reads the credentials to see that they can be used.
func NewDNS(o DNSOptions) (*DNS, error) {
	o.Log = logger(o.Log)
	d := &DNS{o: o, writing: make(chan struct{}, 1), made: map[edge.Answer]*record{}}
	_, err := d.open(func(text string) { o.Log.Warn(text) })
	return d, err
}

// open makes the writer of records from the credentials.
func (d *DNS) open(warn func(string)) (acmeglue.Authenticator, error) {
	if d.o.Credentials == "" {
		return nil, fmt.Errorf("%s needs --%s-credentials", d.o.Plugin, d.o.Plugin)
	}
	// The time here only bounds the removal of a record; Ready does the waiting.
	o := acmeglue.DNSOptions{HTTPClient: d.o.HTTPClient, PropagationTimeout: time.Minute, Resolvers: d.o.Nameservers}
	c, err := readCredentials(d.o.Credentials, d.o.Plugin, warn)
	if err != nil {
		return nil, err
	}
	switch d.o.Plugin {
	case Cloudflare:
		err = c.cloudflare(&o)
	case RFC2136:
		err = c.rfc2136(&o)
	default:
		err = fmt.Errorf("there is no plugin %s; there are %s and %s", d.o.Plugin, Cloudflare, RFC2136)
	}
	if err != nil {
		return nil, err
	}
	return acmeglue.NewDNSAuthenticator(d.o.Plugin, o)
}

// Name implements acmeglue.Authenticator.
func (d *DNS) Name() string { return d.o.Plugin }

// Types implements acmeglue.Authenticator.
func (d *DNS) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.DNS01} }

// Present implements acmeglue.Authenticator.
func (d *DNS) Present(ctx context.Context, batch []edge.Answer) error {
	writer, err := d.open(func(string) {})
	if err != nil {
		return err
	}
	for _, a := range batch {
		if a.Type != edge.DNS01 {
			return acmeglue.AnswerFailed(unable(d, a), a)
		}
		if err := d.write(ctx, writer, a); err != nil {
			return err
		}
	}
	return nil
}

func (d *DNS) write(ctx context.Context, writer acmeglue.Authenticator, a edge.Answer) error {
	select {
	case d.writing <- struct{}{}:
		defer func() { <-d.writing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if r := d.made[a]; r != nil {
		r.uses++
		return nil
	}
	if err := writer.Present(ctx, []edge.Answer{a}); err != nil {
		return err
	}
	d.made[a] = &record{writer, 1}
	return nil
}

// Cleanup removes the records that were made, also after the end of ctx: a minute
// for the whole batch, which is what ctx has, is too short for a provider that is
// slow and an order with many names. Each removal has a limit of its own.
func (d *DNS) Cleanup(ctx context.Context, batch []edge.Answer) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, a := range batch {
		errs = append(errs, d.remove(ctx, a))
	}
	return errors.Join(errs...)
}

func (d *DNS) remove(ctx context.Context, a edge.Answer) error {
	d.writing <- struct{}{}
	defer func() { <-d.writing }()
	r := d.made[a]
	if r == nil {
		return nil // Present came not so far
	}
	if r.uses--; r.uses > 0 {
		return nil
	}
	delete(d.made, a)
	return r.writer.Cleanup(ctx, []edge.Answer{a})
}

// Ready waits as Propagation says. It never fails but by ctx: it is the CA who
// decides, and it may see what cannot be seen from here.
func (d *DNS) Ready(ctx context.Context, batch []edge.Answer) error {
	limit, most := d.o.Propagation, ""
	early := limit < 0 || limit == DefaultPropagation(d.o.Plugin)
	if early {
		limit, most = DefaultPropagation(d.o.Plugin), "at most "
	}
	if limit == 0 {
		return nil
	}
	d.o.Log.Info(fmt.Sprintf("Waiting %s%d seconds for DNS changes to propagate", most, limit/time.Second))
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w := watcher{nameservers: d.o.Nameservers, resolver: net.DefaultResolver, dial: new(net.Dialer).DialContext}
	err := w.wait(wait, batch)
	if err == nil && !early {
		// Who set a time of his own knows of servers that cannot be seen from here.
		<-wait.Done()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		d.o.Log.Warn("the DNS records were not seen everywhere; the CA is asked all the same", "waited", limit, "error", err)
	}
	return nil
}
