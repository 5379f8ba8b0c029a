package certbotcli

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// parser reads words as Python 3.11's argparse does, whose oddities people's
// scripts rely on: abbreviations, clusters of short flags, values that look like
// flags. The comments name what is meant there.
type parser struct {
	*schema
	o      *Options
	byName map[string]*Flag
	names  []string // in the order in which they were added

	// What actions have to remember.
	seen                  map[string]bool // names
	nameBeforeWebroot     bool
	deployHook, renewHook *string // nil: not given; an empty one is
	oldChallengeTypes     []string
	domainsInFile         bool
}

// word is one argument, and where it comes from.
type word struct {
	text   string
	source Source
}

func newParser(s *schema, o *Options, flags []Flag) *parser {
	p := &parser{schema: s, o: o, byName: map[string]*Flag{}, seen: map[string]bool{}}
	for i := range flags {
		for _, n := range slices.Concat(flags[i].Names, flags[i].Old) {
			p.byName[n] = &flags[i]
			p.names = append(p.names, n)
		}
	}
	return p
}

func (p *parser) field(f *Flag) reflect.Value { return p.schema.field(p.o, f.Dest) }

// argument is argparse's error about one flag.
func (p *parser) argument(f *Flag, problem string) error {
	return p.usage("argument " + strings.Join(f.Names, "/") + ": " + problem)
}

func (p *parser) badChoice(f *Flag, value string) error {
	err := p.argument(f, fmt.Sprintf("invalid choice: %s (choose from %s)", repr(value), reprs(f.Choices)))
	return withHint(err, closest(value, f.Choices))
}

func (p *parser) usage(problem string) error {
	return &UsageError{Message: problem, program: p.o.env.program()}
}

func withHint(err error, meant string) error {
	var u *UsageError
	if meant != "" && errors.As(err, &u) {
		u.Hint = "did you mean " + meant + "?"
	}
	return err
}

// option is a word that is a flag (argparse: the option tuple). flag is nil for
// one that nobody knows.
type option struct {
	flag  *Flag
	name  string
	value *string // what is attached: --name=value, -nvalue
}

// run reads the words and takes the actions. What it does not know is returned.
func (p *parser) run(words []word) (extra []word, err error) {
	options := map[int]option{}
	pattern := make([]byte, len(words)) // O: option, A: argument, -: the word "--"
	for i := 0; i < len(words); i++ {
		pattern[i] = 'A'
		if words[i].text == "--" {
			pattern[i] = '-'
			for i++; i < len(words); i++ {
				pattern[i] = 'A'
			}
			break
		}
		o, ok, err := p.classify(words[i].text)
		if err != nil {
			return nil, err
		}
		if ok {
			pattern[i], options[i] = 'O', o
		}
	}
	for i := 0; i < len(words); {
		o, ok := options[i]
		if !ok || o.flag == nil {
			extra = append(extra, words[i])
			i++
			continue
		}
		if i, err = p.consume(words, pattern, i, o); err != nil {
			return nil, err
		}
	}
	return extra, nil
}

// consume takes an option, what is clustered with it, and its value
// (consume_optional). It returns the index of the next word.
func (p *parser) consume(words []word, pattern []byte, i int, o option) (next int, err error) {
	type step struct {
		flag  *Flag
		value string
	}
	var steps []step
	next = i + 1
	for {
		takes := o.flag.act.takesValue
		if o.value != nil && takes {
			steps = append(steps, step{o.flag, *o.value})
			break
		}
		if o.value != nil {
			rest := *o.value
			if strings.HasPrefix(o.name, "--") || rest == "" {
				return 0, p.argument(o.flag, "ignored explicit argument "+repr(rest))
			}
			steps = append(steps, step{flag: o.flag})
			_, n := utf8.DecodeRuneInString(rest)
			name := "-" + rest[:n]
			flag := p.byName[name]
			if flag == nil {
				return 0, p.argument(o.flag, "ignored explicit argument "+repr(rest))
			}
			o = option{flag: flag, name: name}
			if rest = rest[n:]; rest != "" {
				o.value = &rest
			}
			continue
		}
		if !takes {
			steps = append(steps, step{flag: o.flag})
			break
		}
		if next >= len(words) || pattern[next] != 'A' {
			if o.flag.act.alone != "" {
				steps = append(steps, step{o.flag, o.flag.act.alone})
				break
			}
			return 0, p.argument(o.flag, "expected one argument")
		}
		steps = append(steps, step{o.flag, words[next].text})
		next++
		break
	}
	for _, s := range steps {
		if err := s.flag.act.do(p, s.flag, s.value); err != nil {
			return 0, err
		}
		if s.flag.act.kind != kindNothing {
			p.o.source[s.flag.Dest] = max(p.o.source[s.flag.Dest], words[i].source)
		}
	}
	return next, nil
}

var negativeNumber = regexp.MustCompile(`^-\d+$|^-\d*\.\d+$`)

// classify says whether a word is an option, and which (_parse_optional).
func (p *parser) classify(s string) (o option, ok bool, err error) {
	if len(s) < 2 || s[0] != '-' {
		return o, false, nil
	}
	if f := p.byName[s]; f != nil {
		return option{flag: f, name: s}, true, nil
	}
	name, value, assigned := strings.Cut(s, "=")
	if f := p.byName[name]; f != nil && assigned {
		return option{f, name, &value}, true, nil
	}
	found := p.interpretations(s)
	switch {
	case len(found) == 1:
		return found[0], true, nil
	case len(found) > 1:
		var names []string
		for _, o := range found {
			names = append(names, o.name)
		}
		return o, false, p.usage(fmt.Sprintf("ambiguous option: %s could match %s", s, strings.Join(names, ", ")))
	case negativeNumber.MatchString(s) || strings.Contains(s, " "):
		return o, false, nil
	}
	return option{}, true, nil
}

// interpretations are the flags that a word may be short for (_get_option_tuples).
// Where certbot 2.1 knows one, what came later does not make it ambiguous, nor do the
// settings of targets, of which there are ever more, for what edge knows otherwise.
func (p *parser) interpretations(s string) []option {
	if s[1] != '-' {
		if f := p.byName[s[:2]]; f != nil {
			rest := s[2:]
			return []option{{f, s[:2], &rest}}
		}
		return nil
	}
	prefix, rest, assigned := strings.Cut(s, "=")
	var old, later, targets []option
	for _, n := range p.names {
		if !strings.HasPrefix(n, prefix) {
			continue
		}
		o := option{flag: p.byName[n], name: n}
		if assigned {
			o.value = &rest
		}
		switch {
		case o.flag.Kind != "":
			targets = append(targets, o)
		case o.flag.Origin == Certbot || o.flag.Origin == abandoned:
			old = append(old, o)
		default:
			later = append(later, o)
		}
	}
	switch {
	case old != nil:
		return old
	case later != nil:
		return later
	}
	return targets
}

// unrecognized is the error for words that nobody knows, with a word of help.
func (p *parser) unrecognized(extra []word) error {
	var texts, bare []string
	for _, w := range extra {
		texts = append(texts, w.text)
		name, _, _ := strings.Cut(w.text, "=")
		bare = append(bare, name)
	}
	err := p.usage("unrecognized arguments: " + strings.Join(texts, " "))
	for _, name := range bare[:min(len(bare), 5)] {
		if !strings.HasPrefix(name, "-") {
			if meant := closest(name, verbNames()); meant != "" {
				return withHint(err, meant)
			}
			continue
		}
		if plugin := strangePlugin(name); plugin != "" {
			var u *UsageError
			if errors.As(err, &u) {
				u.Hint = "there is no plugin " + plugin + " here; for its provider use --manual with hooks, or delegate _acme-challenge to dns-cloudflare or dns-rfc2136"
			}
			return err
		}
		if meant := closest(name, p.shown()); meant != "" {
			return withHint(err, meant)
		}
	}
	return err
}

// shown are the names of flags that people are told of.
func (p *parser) shown() []string {
	return slices.DeleteFunc(slices.Clone(p.names), func(n string) bool {
		f := p.byName[n]
		return f.Hidden || len(n) < 3 || slices.Contains(f.Old, n)
	})
}
