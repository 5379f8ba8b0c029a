package pritunl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"edge/installers/api"
)

// settings are those of Pritunl's that are looked at. The key is a secret.
type settings struct {
	Cert *string `json:"server_cert"`
	Key  *string `json:"server_key"`
	ACME *string `json:"acme_domain"`
}

func parseSettings(raw []byte) (*settings, error) {
	var seen map[string]json.RawMessage
	if err := json.Unmarshal(raw, &seen); err != nil {
		return nil, errors.New("the answer is no JSON object") // the error may quote what it is
	}
	if _, ok := seen["server_cert"]; !ok {
		return nil, errors.New("the answer has no server_cert; is this Pritunl, and its API?")
	}
	s := &settings{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, errors.New("the settings are not those of Pritunl")
	}
	return s, nil
}

// has compares as the server keeps it: without blanks around.
func (s *settings) has(chain, key []byte) bool {
	same := func(a *string, b []byte) bool {
		return a != nil && strings.TrimSpace(*a) == strings.TrimSpace(string(b))
	}
	return same(s.Cert, chain) && same(s.Key, key)
}

func (s *settings) domain() string {
	if s.ACME == nil {
		return ""
	}
	return *s.ACME
}

// get reads the settings.
func (t *Target) get(ctx context.Context, c *api.Client) (*settings, error) {
	resp, err := c.Do(ctx, api.Request{Method: http.MethodGet, Path: "/settings"})
	if err != nil {
		return nil, t.explain(err)
	}
	s, err := parseSettings(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("pritunl: %s: %w", t.o.Server, err)
	}
	return s, nil
}

// change sends the settings of the map, and no others.
func (t *Target) change(ctx context.Context, c *api.Client, to map[string]any) error {
	body, err := json.Marshal(to)
	if err == nil {
		_, err = c.Do(ctx, api.Request{Method: http.MethodPut, Path: "/settings", Body: body, Type: "application/json"})
	}
	return t.explain(err)
}

// put changes the pair; nil takes it away, and Pritunl makes a self-signed one.
func (t *Target) put(ctx context.Context, c *api.Client, chain, key *string) error {
	return t.change(ctx, c, map[string]any{"server_cert": chain, "server_key": key})
}

// acme sets the domain for which Pritunl orders a certificate itself; nil ends that, and
// takes certificate and key away, so that it is never in a request with those.
func (t *Target) acme(ctx context.Context, c *api.Client, domain *string) error {
	return t.change(ctx, c, map[string]any{"acme_domain": domain})
}

// skewed is how far clocks may be apart without being worth a word; Pritunl takes 12 hours.
const skewed = 5 * time.Minute

// explain says what to do. Answers may have secrets of others: of their text, only the
// word for the failure is shown.
func (t *Target) explain(err error) error {
	if err == nil {
		return nil
	}
	var status *api.StatusError
	if !errors.As(err, &status) {
		return fmt.Errorf("pritunl: %w", err)
	}
	quiet := *status
	quiet.Says = ""
	var said struct {
		Error string `json:"error"`
		Msg   string `json:"error_msg"`
	}
	if json.Unmarshal(status.Body, &said) == nil {
		quiet.Says = clip(strings.TrimSpace(said.Error + ": " + said.Msg))
	}
	do := ""
	switch {
	case status.Status == http.StatusUnauthorized:
		do = "; token or secret are wrong, or the administrator is disabled or has no API access" + t.skew(status.Header.Get("Date"))
	case said.Error == "sso_url_missing":
		do = "; single sign-on is on without its domain, and no setting can be changed until that is put right in the console"
	}
	return fmt.Errorf("pritunl: %w%s", &quiet, do)
}

// skew says how the clocks differ: an old timestamp is refused with the same words as a
// wrong signature.
func (t *Target) skew(date string) string {
	there, err := http.ParseTime(date)
	if err != nil {
		return ""
	}
	d := t.o.Now().Sub(there).Round(time.Second)
	if d.Abs() < skewed {
		return ""
	}
	return fmt.Sprintf("; or it is the clock: the one here differs from that of the server by %v, and Pritunl takes requests of 12 hours at most", d)
}

// clip bounds what is quoted of somebody else's text, on one line.
func clip(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "..."
	}
	return s
}
