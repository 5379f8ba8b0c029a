package plesk

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// programs is Plesk on this machine. Keys go in files that only root can read, with names
// that are always the same, so that a run that was killed leaves nothing for long.
type programs struct{ o *Options }

func (p *programs) run(ctx context.Context, args ...string) (string, error) {
	out, err := p.o.Env.Run(ctx, append([]string{p.o.Program, "bin"}, args...))
	if err != nil {
		return out, fmt.Errorf("plesk: %w", err)
	}
	return out, nil
}

// used finds the certificate in use in what `plesk bin site --info` prints.
var used = regexp.MustCompile(`(?im)^[ \t]*(?:SSL(?:/TLS)?[ \t]+)?certificate(?:[ \t]+name)?[ \t]*:[ \t]*(\S.*)$`)

var sslOn = regexp.MustCompile(`(?im)^[ \t]*SSL(?:/TLS)?[ \t]+support[ \t]*:[ \t]*(?:On|true)`)

func parseInfo(name, out string) *site {
	s := &site{name: name, ssl: sslOn.MatchString(out)}
	if m := used.FindStringSubmatch(out); m != nil {
		s.certificate = strings.TrimSpace(m[1])
	}
	return s
}

func (p *programs) site(ctx context.Context, name string) (*site, error) {
	out, err := p.run(ctx, "site", "--info", name)
	if err != nil && strings.Contains(out, "does not exist") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseInfo(name, out), nil
}

func (p *programs) has(ctx context.Context, site, name string) (bool, error) {
	out, err := p.run(ctx, "certificate", "-l", "-domain", site)
	if err != nil {
		return false, err
	}
	// A table for people: the name stands between blanks.
	return strings.Contains(" "+strings.Join(strings.Fields(out), " ")+" ", " "+name+" "), nil
}

func (p *programs) install(ctx context.Context, site, name string, c pems) error {
	return p.put(ctx, "-c", site, name, c)
}

func (p *programs) update(ctx context.Context, site, name string, c pems) error {
	return p.put(ctx, "-u", site, name, c)
}

func (p *programs) put(ctx context.Context, do, site, name string, c pems) error {
	return p.o.files(map[string][]byte{"key": c.key, "cert": c.leaf, "ca": c.chain}, func(paths map[string]string) error {
		args := []string{"certificate", do, name, "-domain", site, "-key-file", paths["key"], "-cert-file", paths["cert"]}
		if len(c.chain) > 0 {
			args = append(args, "-cacert-file", paths["ca"])
		}
		_, err := p.run(ctx, args...)
		return err
	})
}

// files makes files for a program, and removes them when it is done.
func (o *Options) files(contents map[string][]byte, do func(paths map[string]string) error) (err error) {
	if o.Env.State == "" {
		return errors.New("plesk: there is no folder for the files that Plesk's programs read")
	}
	if err := o.Env.Durable.Mkdir(o.Env.State, 0o700); err != nil {
		return fmt.Errorf("plesk: %w", err)
	}
	paths := map[string]string{}
	for name, content := range contents {
		if len(content) == 0 {
			continue
		}
		path := filepath.Join(o.Env.State, ".plesk-"+name)
		paths[name] = path
		defer func() { err = errors.Join(err, o.Env.Durable.Remove(path)) }()
		if err := o.Env.Durable.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("plesk: %w", err)
		}
	}
	return do(paths)
}

func (p *programs) remove(ctx context.Context, site, name string) error {
	_, err := p.run(ctx, "certificate", "-r", name, "-domain", site)
	return err
}

func (p *programs) assign(ctx context.Context, site, name string, ssl bool) error {
	args := []string{"site", "-u", site, "-ssl", fmt.Sprint(ssl)}
	if name != "" {
		args = append(args, "-certificate-name", name)
	}
	_, err := p.run(ctx, args...)
	return err
}
