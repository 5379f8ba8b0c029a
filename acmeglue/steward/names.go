package steward

import (
	"context"
	"errors"
	"slices"
	"strings"

	"edge"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// action is what becomes of a wish for a certificate.
type action int

const (
	issueNew action = iota
	replace         // renew the lineage, perhaps with other names
	keep            // it is what was asked for already
)

// wish is what a command line asks for.
type wish struct {
	names []string // as written: names, wildcards, addresses
	name  string   // --cert-name
}

// wanted finds out which names are meant: those of the command line, of the
// lineage named there, or what a person says.
func (s *Steward) wanted(ctx context.Context, o *certbotcli.Options) (wish, error) {
	w := wish{names: slices.Concat(o.Domains, o.IPs), name: o.CertName}
	if len(w.names) == 0 && w.name != "" {
		if l := s.find(w.name); l != nil {
			w.names, _ = l.Names()
		}
	}
	if len(w.names) == 0 {
		known, err := s.namesOfServer(ctx, o)
		if err != nil {
			return w, err
		}
		if w.names, err = display.ChooseNames(ctx, s.o.Display, known, "", s.checkDomain); err != nil {
			return w, err
		}
		o.Domains = w.names
	}
	// Before hooks are run and the CA is asked.
	_, err := identifiers(w.names)
	return w, err
}

// namesOfServer are those that the installer's configuration has.
func (s *Steward) namesOfServer(ctx context.Context, o *certbotcli.Options) ([]string, error) {
	if o.Installer == "" {
		return nil, nil
	}
	server, err := s.webServer(ctx, o.Installer, o)
	if err != nil {
		return nil, err
	}
	return server.Names(ctx)
}

// checkDomain is the first look at a name that somebody typed.
func (s *Steward) checkDomain(name string) (string, error) {
	id, err := edge.ParseIdentifier(strings.ToLower(strings.TrimSpace(name)))
	return id.Value, err
}

// find returns a lineage that can be used, or nil.
func (s *Steward) find(name string) *lineage.Lineage {
	l, err := s.o.Tree.Load(name)
	if err != nil {
		var none *lineage.NotFoundError
		if !errors.As(err, &none) {
			s.o.Log.Debug("a lineage is broken", "lineage", name, "error", err)
		}
		return nil
	}
	return l
}

// decide settles what to do about a wish (certbot: main.py,
// _find_lineage_for_domains_and_certname). The lineage is nil for issueNew.
func (s *Steward) decide(ctx context.Context, o *certbotcli.Options, w wish) (action, *lineage.Lineage, error) {
	if w.name == "" {
		return s.decideByNames(ctx, o, w.names)
	}
	l := s.find(w.name)
	if l == nil {
		return issueNew, nil, edge.CheckLineageName(w.name) // not after it was issued
	}
	have, err := l.Names()
	if err != nil {
		return 0, nil, err
	}
	if sameSet(have, w.names) {
		return s.decideIdentical(ctx, o, l)
	}
	if _, err := s.migrateKeyType(ctx, o, l); err != nil {
		return 0, nil, err
	}
	if !o.RenewWithNewDomains {
		if err := display.ConfirmNewNames(ctx, s.o.Display, w.name, have, w.names); err != nil {
			return 0, nil, err
		}
	}
	return replace, l, nil
}

// decideByNames looks for a lineage with just these names, or with a part of
// them: the one with most, and of several the last.
func (s *Steward) decideByNames(ctx context.Context, o *certbotcli.Options, names []string) (action, *lineage.Lineage, error) {
	if o.Duplicate {
		return issueNew, nil, nil
	}
	identical, subset, err := s.related(names)
	switch {
	case err != nil:
		return 0, nil, err
	case identical != nil:
		return s.decideIdentical(ctx, o, identical)
	case subset != nil:
		return s.decideSubset(ctx, o, subset, names)
	}
	return issueNew, nil, nil
}

// related finds a lineage for exactly these names, and the largest one for a part
// of them. Broken lineages are passed over.
func (s *Steward) related(names []string) (identical, subset *lineage.Lineage, err error) {
	all, err := s.o.Tree.Names()
	if err != nil {
		return nil, nil, err
	}
	most := 0
	for _, name := range all {
		l := s.find(name)
		if l == nil {
			continue
		}
		have, err := l.Names()
		switch {
		case err != nil || len(have) == 0:
		case sameSet(have, names):
			identical = l
		case contains(names, have) && len(have) > most:
			subset, most = l, len(have)
		}
	}
	return identical, subset, nil
}

func sameSet(a, b []string) bool { return contains(a, b) && contains(b, a) }

// contains reports whether all has every one of some.
func contains(all, some []string) bool {
	for _, n := range some {
		if !slices.Contains(all, n) {
			return false
		}
	}
	return true
}

func (s *Steward) decideSubset(ctx context.Context, o *certbotcli.Options, l *lineage.Lineage, names []string) (action, *lineage.Lineage, error) {
	if _, err := s.migrateKeyType(ctx, o, l); err != nil {
		return 0, nil, err
	}
	if !o.Expand && !o.ForceRenewal {
		have, _ := l.Names()
		err := display.ConfirmExpand(ctx, s.o.Display, display.Expansion{
			Conf: l.ConfPath(), Existing: have, Requested: names, Command: s.o.Program + " " + strings.Join(s.o.Arguments, " "),
		})
		if err != nil {
			return 0, nil, err
		}
	}
	return replace, l, nil
}

func (s *Steward) decideIdentical(ctx context.Context, o *certbotcli.Options, l *lineage.Lineage) (action, *lineage.Lineage, error) {
	changing, err := s.migrateKeyType(ctx, o, l)
	if err != nil || changing {
		return replace, l, err
	}
	due, err := s.shouldRenew(ctx, o, l, s.o.Display)
	switch {
	case err != nil:
		return 0, nil, err
	case due.due:
		return replace, l, nil
	case o.Reinstall:
		return keep, l, nil
	}
	answer, err := display.AskIdentical(ctx, s.o.Display, o.Verb, l.ConfPath())
	switch {
	case err != nil:
		return 0, nil, err
	case answer == display.Renew:
		return replace, l, nil
	}
	return keep, l, nil
}

// migrateKeyType asks before a lineage gets a key of another type, and reports
// whether it will. Without a wish of the user's, it keeps the type that it has.
func (s *Steward) migrateKeyType(ctx context.Context, o *certbotcli.Options, l *lineage.Lineage) (bool, error) {
	leaf, err := l.Leaf()
	if err != nil {
		return false, err
	}
	have, want := keyTypeOf(leaf), o.KeyType
	if have == want {
		return false, nil
	}
	if o.IsSet("key_type") && o.IsSet("certname") {
		return true, nil
	}
	yes, err := display.ConfirmKeyType(ctx, s.o.Display, l.Name(), strings.ToUpper(have), strings.ToUpper(want))
	if err != nil || yes {
		return yes, err
	}
	if o.IsSet("key_type") {
		return false, text("Are you trying to change the key type of the certificate named " + l.Name() + " from " + strings.ToUpper(have) +
			" to " + strings.ToUpper(want) + "? Please provide both --cert-name and --key-type on the command line to confirm the change you are trying to make.")
	}
	o.KeyType = have
	return false, nil
}

// identifiers parses names that have passed the command line already.
func identifiers(names []string) ([]edge.Identifier, error) {
	ids := make([]edge.Identifier, 0, len(names))
	for _, n := range names {
		id, err := edge.ParseIdentifier(n)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// summary is how certbot names several names in one line (display/util.py,
// summarize_domain_list).
func summary(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	case 2:
		return names[0] + " and " + names[1]
	}
	return names[0] + " and " + itoa(len(names)-1) + " more domains"
}
