package certbotcli

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// configure puts what the configuration files say before the words of the command
// line, each file behind those that it is weaker than, and leaves out what the
// stronger ones have said already (configargparse: parse_known_args). Actions are
// then taken in that order, so that the last one counts.
func (p *parser) configure(words []word) ([]word, error) {
	files, err := p.openFiles(words)
	if err != nil {
		return nil, err
	}
	for _, ini := range files {
		for i, l := range ini.Lines {
			ini.Lines[i] = p.withColon(l)
		}
		said := saidBy(words)
		var more []word
		for _, l := range ini.settings() {
			f := p.byKey(l.Key)
			names := []string{"--" + strings.Trim(l.Key, "-")}
			if f != nil {
				names = slices.Concat(f.Names, f.Old)
			}
			if slices.ContainsFunc(names, func(n string) bool { return said[n] }) {
				continue
			}
			texts, err := p.wordsFor(f, l)
			if err != nil {
				var u *UsageError
				if errors.As(err, &u) {
					u.Message = fmt.Sprintf("%s:%d: %s", ini.Path, l.Number, u.Message)
				}
				return nil, err
			}
			for _, t := range texts {
				more = append(more, word{t, File})
			}
			p.domainsInFile = p.domainsInFile || l.Key == "domains"
		}
		words = slices.Concat(more, words)
	}
	return words, nil
}

// openFiles reads the configuration files, the strongest first: that of --config,
// then the others from the last on.
func (p *parser) openFiles(words []word) ([]*INI, error) {
	var files []*INI
	if path := p.o.env.expandUser(p.named(words)); path != "" {
		data, err := readFile(path)
		if err != nil {
			return nil, p.usage(fmt.Sprintf("Unable to open config file: %s. Error: %s", path, reason(err)))
		}
		ini, err := ParseINI(path, data)
		if err != nil {
			return nil, p.usage(err.Error())
		}
		files = append(files, ini)
	}
	for _, path := range slices.Backward(p.o.env.configFiles()) {
		path = p.o.env.expandUser(path)
		data, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &RefusedError{fmt.Sprintf("read %s: %s", path, reason(err))}
		}
		ini, err := ParseINI(path, data)
		if err != nil {
			return nil, p.usage(err.Error())
		}
		files = append(files, ini)
	}
	return files, nil
}

// named is the file of --config, as a parser that knows nothing else sees it: not
// within a cluster, but also where --co is short for more.
func (p *parser) named(words []word) string {
	i := slices.IndexFunc(p.flags, func(f Flag) bool { return f.Dest == "config_file" })
	only := newParser(p.schema, &Options{env: p.o.env, source: map[string]Source{}}, p.flags[i:i+1])
	_, _ = only.run(words) // what is wrong is said when all is read
	return only.o.ConfigFile
}

// settings are the lines that set something: of equal keys the last, at the place
// of the first.
func (ini *INI) settings() []Line {
	var lines []Line
	at := map[string]int{}
	for _, l := range ini.Lines {
		switch i, again := at[l.Key]; {
		case l.Key == "":
		case again:
			lines[i] = l
		default:
			at[l.Key] = len(lines)
			lines = append(lines, l)
		}
	}
	return lines
}

// saidBy are the names that words have, as far as they are written out: neither
// abbreviations nor clusters are seen.
func saidBy(words []word) map[string]bool {
	said := map[string]bool{}
	for _, w := range words {
		name := w.text
		if strings.HasPrefix(name, "-") {
			name, _, _ = strings.Cut(name, "=")
		}
		said[name] = true
	}
	return said
}

// byKey finds the flag of a key: a long name, with or without its dashes.
func (p *parser) byKey(key string) *Flag {
	if f := p.byName["--"+key]; f != nil {
		return f
	}
	if strings.HasPrefix(key, "--") {
		return p.byName[key]
	}
	return nil
}

// withColon reads a setting of a plugin that is named as certbot names those of others,
// certbot-haproxy:haproxy-authenticator-port = 80: a colon ends keys, so that certbot itself
// has no way to write it.
func (p *parser) withColon(l Line) Line {
	name, rest, ok := strings.Cut(strip(l.Raw), ":")
	if !ok || name != l.Key || p.byKey(l.Key) != nil {
		return l
	}
	sub := Line{Raw: rest, Number: l.Number}
	if sub.parse() != nil || sub.Key == "" || p.byName["--"+name+":"+sub.Key] == nil {
		return l
	}
	sub.Raw, sub.Key = l.Raw, name+":"+sub.Key
	return sub
}

// wordsFor are the words that a setting stands for
// (convert_item_to_command_line_arg).
func (p *parser) wordsFor(f *Flag, l Line) ([]string, error) {
	if f == nil {
		name := "--" + strings.Trim(l.Key, "-")
		if l.List == nil {
			return []string{name + "=" + l.Value}, nil
		}
		var words []string
		for _, v := range l.List {
			words = append(words, name+"="+v)
		}
		return words, nil
	}
	name := f.Names[len(f.Names)-1]
	if f.isList() && l.List != nil {
		var words []string
		for _, v := range l.List {
			words = append(words, name+"="+v)
		}
		return words, nil
	}
	if f.act.takesValue || f.act.kind == kindAsk {
		if l.List != nil {
			return nil, p.usage(fmt.Sprintf("%s can't be set to a list; write the values with commas between them", l.Key))
		}
		return []string{name + "=" + l.Value}, nil
	}
	switch strings.ToLower(l.Value) {
	case "true", "yes", "1":
		return []string{name}, nil
	case "false", "no", "0":
		return nil, nil
	}
	if n, err := strconv.Atoi(l.Value); f.act.kind == kindCount && err == nil && n <= 100 {
		return slices.Repeat([]string{f.Names[0]}, max(n, 0)), nil
	}
	return nil, p.usage(fmt.Sprintf("Unexpected value for %s: '%s'. Expecting 'true', 'false', 'yes', 'no', '1' or '0'", l.Key, l.Value))
}
