package lineage

import (
	"bytes"
	"errors"
	"fmt"

	"edge/internal/configobj"
)

// confVersion is the certbot whose formats and texts these are (DESIGN section 6).
const confVersion = "2.1.0"

// newConf is the renewal file of a lineage that is made.
func newConf(l *Lineage, p *Params) ([]byte, error) {
	doc := configobj.New()
	if p == nil || p.RenewBefore == nil || *p.RenewBefore == "" {
		doc.SetInitialComment([]string{"renew_before_expiry = 30 days"})
	}
	return editConf(doc, l, p)
}

// changed is the renewal file as it is to be, with what is in it and nobody asked to
// change left alone.
func (c *conf) changed(l *Lineage, p *Params) ([]byte, error) {
	// A copy: when it comes to nothing, the lineage stays as it is on the disk.
	doc, err := configobj.Parse(c.raw)
	if err != nil {
		return nil, err
	}
	return editConf(doc, l, p)
}

func editConf(doc *configobj.Document, l *Lineage, p *Params) ([]byte, error) {
	root := doc.Root()
	set := func(key, value string) error { return setKey(root, key, configobj.String(value)) }
	errs := []error{set("version", confVersion), set("archive_dir", l.archive)}
	for _, kind := range Kinds() {
		errs = append(errs, set(kind.String(), l.links[kind].path))
	}
	if p != nil && p.RenewBefore != nil {
		if *p.RenewBefore == "" {
			root.Delete(beforeKey)
		} else {
			errs = append(errs, set(beforeKey, *p.RenewBefore))
		}
	}
	errs = append(errs, editSections(root, p))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("renewal file of lineage %s: %w", l.name, err)
	}
	out := doc.Bytes()
	if err := readsBack(out, p); err != nil {
		return nil, fmt.Errorf("renewal file of lineage %s: %w", l.name, err)
	}
	return out, nil
}

func editSections(root *configobj.Section, p *Params) error {
	if root.Section(renewalSection) == nil {
		s := root.AddSection(renewalSection)
		if s == nil {
			return errors.New("there is a key " + renewalSection + " in place of the section")
		}
		root.SetComment(renewalSection, []string{"", "Options used in the renewal process"})
	}
	if p == nil {
		return nil
	}
	if p.Renewal != nil {
		if err := writeSection(root.Section(renewalSection), p.Renewal); err != nil {
			return err
		}
	}
	if err := editOptional(root, edgeSection, p.Edge); err != nil {
		return err
	}
	if p.ARIRetryAfter == nil {
		return nil
	}
	if p.ARIRetryAfter.IsZero() {
		root.Section(ariSection).Delete(ariKey)
		if s := root.Section(ariSection); s != nil && len(s.Keys())+len(s.Sections()) == 0 {
			root.DeleteSection(ariSection)
		}
		return nil
	}
	s := root.AddSection(ariSection)
	if s == nil {
		return errors.New("there is a key " + ariSection + " in place of the section")
	}
	return setKey(s, ariKey, configobj.String(formatARITime(*p.ARIRetryAfter)))
}

// editOptional is for a section that is not there when it is empty.
func editOptional(root *configobj.Section, name string, want Section) error {
	switch {
	case want == nil:
		return nil
	case len(want) == 0:
		root.DeleteSection(name)
		return nil
	}
	s := root.AddSection(name)
	if s == nil {
		return errors.New("there is a key " + name + " in place of the section")
	}
	return writeSection(s, want)
}

// readsBack makes sure that a file says what it was meant to say, before it takes the
// place of one that does.
func readsBack(data []byte, p *Params) error {
	if len(data) > configobj.MaxSize {
		return fmt.Errorf("%d bytes; at most %d are possible", len(data), configobj.MaxSize)
	}
	doc, err := configobj.Parse(data)
	if err != nil {
		return err
	}
	if !bytes.Equal(doc.Bytes(), data) {
		return errors.New("it reads back as something else")
	}
	if p == nil {
		return nil
	}
	for name, want := range map[string]Section{renewalSection: p.Renewal, edgeSection: p.Edge} {
		got, err := readSection(doc.Root().Section(name))
		if err != nil {
			return err
		}
		if !got.contains(want) {
			return fmt.Errorf("section %s reads back as something else", name)
		}
	}
	return nil
}

// contains reports whether s says all that want does.
func (s Section) contains(want Section) bool {
	for _, p := range want {
		if p.Sub != nil {
			if sub := s.Sub(p.Key); sub == nil || !sub.contains(p.Sub) {
				return false
			}
		} else if v, ok := s.Get(p.Key); !ok || !v.Equal(p.Value) {
			return false
		}
	}
	return true
}
