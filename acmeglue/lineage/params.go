package lineage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"edge/internal/configobj"
)

// Params are what a renewal file says about how the lineage is renewed. In what is
// given to Create, Renew and SetParams, a nil field leaves that part of the file as
// it is.
type Params struct {
	// Renewal is the section [renewalparams]. What the file has and this has not
	// is deleted from the file, as certbot does. Values are as certbot writes them:
	// None, True and False are strings, and told from these by those who know the
	// key.
	Renewal Section
	// Edge is the section [edge]: what certbot cannot know. Without keys, the
	// section is deleted.
	Edge Section
	// ARIRetryAfter is when to ask the CA again for the time of the renewal
	// (certbot 4.1 and later). The zero time deletes it.
	ARIRetryAfter *time.Time
	// RenewBefore is the interval of the key renew_before_expiry, as ParseInterval
	// takes it. "" deletes the key.
	RenewBefore *string
}

// Section is a part of a renewal file: its keys in order, then its sub-sections.
type Section []Param

// Param is a key with its value, or a sub-section such as webroot_map.
type Param struct {
	Key   string
	Value configobj.Value
	Sub   Section // not nil: a sub-section of this name; Value means nothing
}

// Get returns the value of a key.
func (s Section) Get(key string) (configobj.Value, bool) {
	for _, p := range s {
		if p.Key == key && p.Sub == nil {
			return p.Value, true
		}
	}
	return configobj.Value{}, false
}

// String returns the value of a key, or "" where it is not there.
func (s Section) String(key string) string {
	v, _ := s.Get(key)
	return v.String()
}

// Sub returns a sub-section, or nil.
func (s Section) Sub(name string) Section {
	for _, p := range s {
		if p.Key == name && p.Sub != nil {
			return p.Sub
		}
	}
	return nil
}

// Names of keys and sections.
const (
	renewalSection = "renewalparams"
	edgeSection    = "edge"
	ariSection     = "acme_renewal_info"
	ariKey         = "ari_retry_after"
	beforeKey      = "renew_before_expiry"
)

// Params reads the renewal file with references between its values expanded, as
// certbot does. The error is a *BrokenError where one cannot be expanded.
func (l *Lineage) Params() (Params, error) {
	p, err := l.conf.params()
	if err != nil {
		return p, &BrokenError{Name: l.name, ConfPath: l.conf.file, Problem: "error parsing " + l.conf.file, Err: err}
	}
	return p, nil
}

func (c *conf) params() (p Params, err error) {
	root := c.doc.Root()
	if p.Renewal, err = readSection(root.Section(renewalSection)); err != nil {
		return p, err
	}
	if p.Edge, err = readSection(root.Section(edgeSection)); err != nil {
		return p, err
	}
	if v, ok, err := root.Section(ariSection).Lookup(ariKey); err != nil {
		return p, err
	} else if ok {
		// What cannot be read means: ask now.
		if at, err := parseARITime(v.String()); err == nil {
			p.ARIRetryAfter = &at
		}
	}
	if v, ok, err := root.Lookup(beforeKey); err != nil {
		return p, err
	} else if ok {
		text := v.String()
		p.RenewBefore = &text
	}
	return p, nil
}

// readSection is nil where there is no such section, and not where it is empty.
func readSection(s *configobj.Section) (Section, error) {
	if s == nil {
		return nil, nil
	}
	out := Section{}
	for _, key := range s.Keys() {
		v, _, err := s.Lookup(key)
		if err != nil {
			return nil, err
		}
		out = append(out, Param{Key: key, Value: v})
	}
	for _, name := range s.Sections() {
		sub, err := readSection(s.Section(name))
		if err != nil {
			return nil, err
		}
		out = append(out, Param{Key: name, Sub: sub})
	}
	return out, nil
}

// writeSection makes a section say what want does, and deletes the rest. Keys that
// say it already keep their bytes, and all keep their places and comments.
func writeSection(s *configobj.Section, want Section) error {
	for _, key := range s.Keys() {
		if _, ok := want.Get(key); !ok {
			s.Delete(key)
		}
	}
	for _, name := range s.Sections() {
		if want.Sub(name) == nil {
			s.DeleteSection(name)
		}
	}
	// Twice: what a key refers to may come behind it, and have changed.
	for range 2 {
		for _, p := range want {
			if p.Sub == nil {
				if err := setKey(s, p.Key, p.Value); err != nil {
					return err
				}
			}
		}
	}
	for _, p := range want {
		if p.Sub == nil {
			continue
		}
		sub := s.AddSection(p.Key)
		if sub == nil {
			return fmt.Errorf("section %.80q cannot be written", p.Key)
		}
		if err := writeSection(sub, p.Sub); err != nil {
			return err
		}
	}
	return nil
}

// setKey refuses values that certbot would read as something else: it has no way to
// write "%(name)s".
func setKey(s *configobj.Section, key string, v configobj.Value) error {
	if old, ok, err := s.Lookup(key); ok && err == nil && old.Equal(v) {
		return nil
	}
	if slices.ContainsFunc(v.Items, configobj.NeedsInterpolation) {
		return fmt.Errorf("value of %s: certbot would take %%(name)s for a reference; write it in another way, such as in a script", key)
	}
	if err := s.Set(key, v); err != nil {
		return fmt.Errorf("value of %s: %w", key, err)
	}
	return nil
}

// certbot writes these times in the local zone, without saying so.
const ariTime = "2006-01-02T15:04:05.999999"

func parseARITime(s string) (time.Time, error) {
	s = strings.Replace(strings.TrimSpace(s), " ", "T", 1)
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return at, nil
	}
	return time.ParseInLocation(ariTime, s, time.Local)
}

func formatARITime(at time.Time) string { return at.Local().Format(ariTime) }
