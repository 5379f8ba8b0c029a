package authenticator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
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
	// Propagation is --dns-X-propagation-seconds: how long to wait at most until
	// every name server of the zone has the records. Then the CA is asked, seen or
	// not. Negative: DefaultPropagation.
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
// concurrent use. The credentials are read once for each batch, so that a
// change of the file needs no restart.
type DNS struct {
	o DNSOptions

	mu   sync.Mutex
	made map[edge.Answer][]acmeglue.Authenticator // who has the record
}

// NewDNS reads the credentials to see that they can be used.
func NewDNS(o DNSOptions) (*DNS, error) {
	if o.Propagation < 0 {
		o.Propagation = DefaultPropagation(o.Plugin)
	}
	o.Log = logger(o.Log)
	d := &DNS{o: o, made: map[edge.Answer][]acmeglue.Authenticator{}}
	_, err := d.open(func(text string) { o.Log.Warn(text) })
	return d, err
}

// open makes the writer of records from the credentials.
func (d *DNS) open(warn func(string)) (acmeglue.Authenticator, error) {
	if d.o.Credentials == "" {
		return nil, fmt.Errorf("%s needs --%s-credentials", d.o.Plugin, d.o.Plugin)
	}
	// The time here only bounds the removal of records; Ready does the waiting.
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
		if err := writer.Present(ctx, []edge.Answer{a}); err != nil {
			return err
		}
		d.mu.Lock()
		d.made[a] = append(d.made[a], writer)
		d.mu.Unlock()
	}
	return nil
}

// Cleanup removes the records that were made.
func (d *DNS) Cleanup(ctx context.Context, batch []edge.Answer) error {
	var errs []error
	for _, a := range batch {
		d.mu.Lock()
		var writer acmeglue.Authenticator
		if list := d.made[a]; len(list) > 0 {
			writer = list[len(list)-1]
			if d.made[a] = list[:len(list)-1]; len(list) == 1 {
				delete(d.made, a)
			}
		}
		d.mu.Unlock()
		if writer != nil {
			errs = append(errs, writer.Cleanup(ctx, []edge.Answer{a}))
		}
	}
	return errors.Join(errs...)
}

// Ready waits until every name server of the zones has the records, at most for
// the propagation time. Where that cannot be seen from here, it waits for all of
// that time, as certbot does. It never fails but by ctx: it is the CA who decides.
func (d *DNS) Ready(ctx context.Context, batch []edge.Answer) error {
	limit, cancel := context.WithTimeout(ctx, d.o.Propagation)
	defer cancel()
	d.o.Log.Info(fmt.Sprintf("Waiting at most %d seconds for DNS changes to propagate", d.o.Propagation/time.Second))
	w := watcher{nameservers: d.o.Nameservers, every: watchEvery}
	err := w.wait(limit, batch)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		d.o.Log.Warn("the DNS records were not seen everywhere; the CA is asked all the same", "waited", d.o.Propagation, "error", err)
	}
	return nil
}
