package gandi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"edge/installers/api"
)

const (
	ttl = 300 // the least that is possible
	// races is how often somebody else may write over what was put.
	races = 8
)

// rrset is what LiveDNS has of the TXT records of a name.
type rrset struct {
	TTL    int      `json:"rrset_ttl"`
	Values []string `json:"rrset_values"` // each in quotes, as it came
}

// find walks up to the zone that the account has for a name. Zones that were found are
// kept in have, by the names that led there.
func (a *Authenticator) find(ctx context.Context, fqdn string, have map[string]string) (zone, name string, err error) {
	labels := strings.Split(fqdn, ".")
	var last error
	for i := 1; i < len(labels)-1; i++ {
		at := strings.Join(labels[i:], ".")
		if have[at] == "" {
			_, err := a.api.Do(ctx, api.Request{Method: http.MethodGet, Path: "/domains/" + url.PathEscape(at)})
			if status := statusOf(err); status == http.StatusNotFound || status == http.StatusForbidden {
				last = err
				continue // a name of which there is no zone, or one of somebody else
			}
			if err != nil {
				return "", "", a.explain(fqdn, err)
			}
			have[at] = at
		}
		return at, strings.Join(labels[:i], "."), nil
	}
	return "", "", fmt.Errorf("gandi: the account has no zone for %s, or the token is not for it; is LiveDNS its DNS? (%w)", fqdn, last)
}

func statusOf(err error) int {
	var status *api.StatusError
	if errors.As(err, &status) {
		return status.Status
	}
	return 0
}

func (e *entry) path() string {
	return "/domains/" + url.PathEscape(e.zone) + "/records/" + url.PathEscape(e.name) + "/TXT"
}

// get is empty where there are no such records.
func (a *Authenticator) get(ctx context.Context, e *entry) (rrset, error) {
	resp, err := a.api.Do(ctx, api.Request{Method: http.MethodGet, Path: e.path()})
	if statusOf(err) == http.StatusNotFound {
		return rrset{}, nil
	}
	if err != nil {
		return rrset{}, a.explain(e.fqdn(), err)
	}
	var set rrset
	if err := json.Unmarshal(resp.Body, &set); err != nil {
		return rrset{}, fmt.Errorf("gandi: records of %s: the answer is none: %w", e.fqdn(), err)
	}
	return set, nil
}

func (a *Authenticator) put(ctx context.Context, e *entry, set rrset) error {
	body, err := json.Marshal(rrset{max(set.TTL, ttl), set.Values})
	if err == nil {
		_, err = a.api.Do(ctx, api.Request{Method: http.MethodPut, Path: e.path(), Body: body, Type: "application/json"})
	}
	return a.explain(e.fqdn(), err)
}

// ensure puts the value there, and looks whether it stayed.
func (a *Authenticator) ensure(ctx context.Context, e *entry) error {
	for range races {
		set, err := a.get(ctx, e)
		if err != nil {
			return err
		}
		if set.has(e.value()) {
			return nil
		}
		set.Values = append(set.Values, quote(e.value()))
		if err := a.put(ctx, e, set); err != nil {
			return err
		}
	}
	return fmt.Errorf("gandi: the record of %s does not stay: somebody else writes over it all the time", e.fqdn())
}

// drop takes the value away, and looks whether it stays away.
func (a *Authenticator) drop(ctx context.Context, e *entry) error {
	for range races {
		set, err := a.get(ctx, e)
		if err != nil {
			return err
		}
		if !set.has(e.value()) {
			return nil
		}
		set.Values = slices.DeleteFunc(set.Values, func(v string) bool { return plain(v) == e.value() })
		if len(set.Values) > 0 {
			err = a.put(ctx, e, set)
		} else {
			_, err = a.api.Do(ctx, api.Request{Method: http.MethodDelete, Path: e.path()})
			if statusOf(err) == http.StatusNotFound {
				err = nil
			}
			err = a.explain(e.fqdn(), err)
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("gandi: the record of %s does not go: somebody else writes it again all the time", e.fqdn())
}

func (s *rrset) has(value string) bool {
	return slices.ContainsFunc(s.Values, func(v string) bool { return plain(v) == value })
}

func quote(value string) string { return `"` + value + `"` }

// plain is a value without the quotes that LiveDNS puts around it.
func plain(v string) string {
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

// explain says what to do.
func (a *Authenticator) explain(fqdn string, err error) error {
	if err == nil {
		return nil
	}
	do := ""
	switch statusOf(err) {
	case http.StatusUnauthorized:
		do = "; the token is not valid (any more)"
	case http.StatusForbidden:
		do = "; the token needs the right to manage domain name technical configurations"
	}
	return fmt.Errorf("gandi: records of %s: %w%s", strings.TrimSuffix(fqdn, "."), err, do)
}
