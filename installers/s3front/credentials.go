package s3front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// credentials sign requests. They are never shown.
type credentials struct {
	id, secret, session string
	expires             time.Time // zero: never
}

// early is how long before their end temporary credentials are replaced.
const early = 5 * time.Minute

// errNone says that a source has no credentials.
var errNone = errors.New("none")

// chain finds credentials where AWS's own tools do: what it was told, the environment,
// the files of profiles, the role of a container, the role of the machine. Safe for
// concurrent use.
type chain struct {
	// told are an access key's id and secret from the settings; empty: nothing was said.
	told      func() (id, secret string, err error)
	profile   string // from the settings
	getenv    func(string) string
	dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	transport func(http.RoundTripper) http.RoundTripper
	now       func() time.Time
	log       *slog.Logger

	mu   sync.Mutex
	last *credentials
}

// get returns credentials that are good for some minutes more.
func (c *chain) get(ctx context.Context) (*credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && !c.last.expires.IsZero() && c.now().Before(c.last.expires.Add(-early)) {
		return c.last, nil
	}
	found, err := c.find(ctx)
	if err == nil {
		err = found.check(c.now())
	}
	if err != nil {
		if c.last != nil && c.now().Before(c.last.expires) {
			c.log.Warn("credentials for AWS were not renewed; those that are there end soon", "error", err)
			return c.last, nil
		}
		return nil, fmt.Errorf("credentials for AWS: %w", err)
	}
	c.last = found
	return found, nil
}

func (c *chain) find(ctx context.Context) (*credentials, error) {
	sources := []func(context.Context) (*credentials, error){c.settings, c.named, c.environment, c.files, c.container, c.machine}
	for _, source := range sources {
		found, err := source(ctx)
		if !errors.Is(err, errNone) {
			return found, err
		}
	}
	return nil, errors.New("there are none in the settings, the environment (AWS_ACCESS_KEY_ID), ~/.aws/credentials, or as a role of this container or machine; " +
		"set access_key_id and secret_access_key, or AWS_PROFILE")
}

func (c *chain) settings(context.Context) (*credentials, error) {
	id, secret, err := c.told()
	switch {
	case err != nil:
		return nil, err
	case id == "" && secret == "":
		return nil, errNone
	case id == "" || secret == "":
		return nil, errors.New("access_key_id and secret_access_key belong together, and one is missing")
	}
	return &credentials{id: id, secret: secret}, nil
}

// named is the profile that the settings name: that says more than the environment.
func (c *chain) named(context.Context) (*credentials, error) {
	if c.profile == "" {
		return nil, errNone
	}
	return c.fromFiles(c.profile, true)
}

func (c *chain) environment(context.Context) (*credentials, error) {
	id, secret := c.getenv("AWS_ACCESS_KEY_ID"), c.getenv("AWS_SECRET_ACCESS_KEY")
	switch {
	case id == "" && secret == "":
		return nil, errNone
	case id == "" || secret == "":
		return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together, and one is missing in the environment")
	}
	return &credentials{id: id, secret: secret, session: c.getenv("AWS_SESSION_TOKEN")}, nil
}

func (c *chain) files(context.Context) (*credentials, error) {
	if name := c.getenv("AWS_PROFILE"); name != "" {
		return c.fromFiles(name, true)
	}
	return c.fromFiles("default", false)
}

var (
	keyID     = regexp.MustCompile(`^[A-Za-z0-9_]{1,128}$`)
	unwritten = func(r rune) bool { return r <= ' ' || r > '~' }
)

// check refuses what cannot be put into a header, and what has ended.
func (c *credentials) check(now time.Time) error {
	switch {
	case !keyID.MatchString(c.id):
		return errors.New("the access key's id has characters that it cannot have")
	case c.secret == "" || strings.ContainsFunc(c.secret, unwritten) || strings.ContainsFunc(c.session, unwritten):
		return fmt.Errorf("the secret or the session token of the access key %s is empty or has characters that it cannot have", c.id)
	case !c.expires.IsZero() && !now.Before(c.expires):
		return fmt.Errorf("those of the role ended at %s; look at the clock of this machine", c.expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// redact keeps the credentials that were used last out of a text that AWS has sent: it
// quotes what was signed.
func (c *chain) redact(s string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		return s
	}
	for _, secret := range []string{c.last.secret, c.last.session} {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "[secret]")
		}
	}
	return s
}
