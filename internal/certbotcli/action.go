package certbotcli

import (
	"io/fs"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// action is what a flag does to the options (argparse: Action).
type action struct {
	kind       kind
	takesValue bool
	do         func(p *parser, f *Flag, value string) error
	alone      string // the value of a flag that may stand without one; empty: it may not
}

// kind is what cli.ini has to know of an action.
type kind int

const (
	kindStore kind = iota
	kindTrue
	kindFalse
	kindCount
	kindConst
	kindNothing
	kindAsk // for help or the version
)

// The actions of the tables.
var (
	store         = action{kind: kindStore, takesValue: true, do: (*parser).store}
	storeCount    = action{kind: kindStore, takesValue: true, do: (*parser).storeNonNegative}
	storePath     = action{kind: kindStore, takesValue: true, do: (*parser).storePath}
	storeComment  = action{kind: kindStore, takesValue: true, do: (*parser).storeComment}
	storeDuration = action{kind: kindStore, takesValue: true, do: (*parser).storeDuration}
	storeMode     = action{kind: kindStore, takesValue: true, do: (*parser).storeMode}
	setTrue       = action{kind: kindTrue, do: (*parser).setTrue}
	setFalse      = action{kind: kindFalse, do: (*parser).setFalse}
	count         = action{kind: kindCount, do: (*parser).count}
	nothing       = action{kind: kindNothing, do: (*parser).nothing}
	askHelp       = action{kind: kindAsk, do: func(*parser, *Flag, string) error { return &HelpRequest{} }}
	askVersion    = action{kind: kindAsk, do: func(*parser, *Flag, string) error { return &VersionRequest{} }}
	addDomain     = action{kind: kindStore, takesValue: true, do: func(p *parser, _ *Flag, v string) error { _, err := p.addDomains(v); return err }}
	addIP         = action{kind: kindStore, takesValue: true, do: (*parser).addIP}
	addChallenges = action{kind: kindStore, takesValue: true, do: (*parser).addChallenges}
	oldChallenges = action{kind: kindStore, takesValue: true, do: (*parser).oldChallenges}
	addWebroot    = action{kind: kindStore, takesValue: true, do: (*parser).addWebroot}
	addWebrootMap = action{kind: kindStore, takesValue: true, do: (*parser).addWebrootMap}
	setDeployHook = action{kind: kindStore, takesValue: true, do: (*parser).setDeployHook}
	setRenewHook  = action{kind: kindStore, takesValue: true, do: (*parser).setRenewHook}
	setReason     = action{kind: kindStore, takesValue: true, do: (*parser).setReason}
	readCSR       = action{kind: kindStore, takesValue: true, do: (*parser).readCSR}
)

func addIface(name string) action {
	return action{kind: kindConst, do: func(p *parser, _ *Flag, _ string) error {
		p.o.Ifaces = append(p.o.Ifaces, name)
		return nil
	}}
}

func (p *parser) store(f *Flag, value string) error {
	if f.Choices != nil && !slices.Contains(f.Choices, value) {
		return p.badChoice(f, value)
	}
	field := p.field(f)
	if field.Kind() == reflect.String {
		field.SetString(value)
		return nil
	}
	n, ok := parseInt(value)
	if !ok {
		return p.argument(f, "invalid int value: "+repr(value))
	}
	return p.storeInt(f, n)
}

func (p *parser) storeInt(f *Flag, n int64) error {
	field := p.field(f)
	if field.Type() == reflect.TypeFor[time.Duration]() {
		limit := int64(math.MaxInt64 / time.Second)
		n = min(max(n, -limit), limit) * int64(time.Second)
	}
	field.SetInt(n)
	return nil
}

func (p *parser) storeNonNegative(f *Flag, value string) error {
	n, ok := parseInt(value)
	if !ok {
		return p.argument(f, "value must be an integer")
	}
	if n < 0 {
		return p.argument(f, "value must be non-negative")
	}
	return p.storeInt(f, n)
}

func (p *parser) storePath(f *Flag, value string) error {
	path, err := filepath.Abs(value)
	if err != nil {
		return &RefusedError{err.Error()}
	}
	return p.store(f, path)
}

func (p *parser) storeComment(f *Flag, value string) error {
	if strings.ContainsAny(value, "()") {
		return p.argument(f, "may not contain parentheses")
	}
	return p.store(f, value)
}

// storeDuration takes seconds, as certbot's flags do, or Go's way of writing.
func (p *parser) storeDuration(f *Flag, value string) error {
	d, err := time.ParseDuration(value)
	if n, ok := parseInt(value); ok && n <= math.MaxInt64/int64(time.Second) {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return p.argument(f, "invalid duration: "+repr(value)+" (90, 90s and 2m are)")
	}
	p.field(f).SetInt(int64(d))
	return nil
}

func (p *parser) storeMode(f *Flag, value string) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(value, "0o"), 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return p.argument(f, "invalid mode: "+repr(value)+" (octal, 0640 for example)")
	}
	p.field(f).Set(reflect.ValueOf(fs.FileMode(n)))
	return nil
}

func (p *parser) setTrue(f *Flag, _ string) error  { return p.setBool(f, true) }
func (p *parser) setFalse(f *Flag, _ string) error { return p.setBool(f, false) }

func (p *parser) setBool(f *Flag, b bool) error {
	field := p.field(f)
	switch {
	case field.Kind() == reflect.Bool:
		field.SetBool(b)
	case b:
		field.Set(reflect.ValueOf(Yes))
	default:
		field.Set(reflect.ValueOf(No))
	}
	return nil
}

func (p *parser) count(f *Flag, _ string) error {
	field := p.field(f)
	field.SetInt(field.Int() + 1)
	return nil
}

func (p *parser) nothing(f *Flag, _ string) error {
	p.o.Warnings = append(p.o.Warnings, "Use of "+f.Long()+" is deprecated.")
	return nil
}

// setDeployHook and setRenewHook refuse two commands for one thing. An empty
// command counts.
func (p *parser) setDeployHook(f *Flag, value string) error {
	if !equal(p.deployHook, p.renewHook) && (p.renewHook == nil || *p.renewHook != value) {
		return p.argument(f, "conflicts with --renew-hook value")
	}
	p.deployHook, p.renewHook = &value, &value
	p.o.DeployHook, p.o.RenewHook = value, value
	return nil
}

func (p *parser) setRenewHook(f *Flag, value string) error {
	if p.deployHook != nil && *p.deployHook != value {
		return p.argument(f, "conflicts with --deploy-hook value")
	}
	p.renewHook, p.o.RenewHook = &value, value
	return nil
}

func equal(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// reasons are those that CAs take from subscribers (RFC 5280 section 5.3.1).
func reasons() []struct {
	name string
	code int
} {
	return []struct {
		name string
		code int
	}{{"unspecified", 0}, {"keycompromise", 1}, {"affiliationchanged", 3}, {"superseded", 4}, {"cessationofoperation", 5}}
}

func reasonNames() []string {
	var names []string
	for _, r := range reasons() {
		names = append(names, r.name)
	}
	return names
}

func (p *parser) setReason(f *Flag, value string) error {
	for _, r := range reasons() {
		if r.name == strings.ToLower(value) {
			p.o.Reason = r.code
			return nil
		}
	}
	return p.badChoice(f, value)
}
