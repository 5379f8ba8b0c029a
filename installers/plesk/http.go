package plesk

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"edge"
	"edge/installers/selfcheck"
)

// htaccess is what the original plugin put beside the answers, for Apache.
const htaccess = "Satisfy any\n<IfModule mod_rewrite.c>\n    RewriteEngine off\n</IfModule>\n"

// What comes from Plesk gets into command lines.
var (
	systemUser = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)
	rootPath   = regexp.MustCompile(`^(/[A-Za-z0-9_][A-Za-z0-9._@+ -]*){2,}$`)
)

// fileman runs filemng as the owner of a site: whatever links there are below its folders
// lead where the owner could go anyway.
func (a *Authenticator) fileman(ctx context.Context, s *site, args ...string) (string, error) {
	out, err := a.o.Env.Run(ctx, append([]string{a.o.filemng(), s.login}, args...))
	if err != nil {
		return "", fmt.Errorf("plesk: %w", err)
	}
	return strings.TrimSpace(out), nil
}

func (a *Authenticator) exists(ctx context.Context, s *site, name string) (bool, error) {
	out, err := a.fileman(ctx, s, "file_exists", name)
	switch {
	case err != nil:
		return false, err
	case out == "0": // as an exit code
		return true, nil
	}
	return false, nil
}

func (s *site) folder() string { return path.Join(s.root, edge.HTTP01Prefix) }

// write puts the answer where the site's web server finds it.
func (a *Authenticator) write(ctx context.Context, e *entry) error {
	s := e.site
	if !s.hasFiles() {
		return fmt.Errorf("plesk: site %s has no hosting with files: folder %q of user %q", s.name, clip(s.root), clip(s.login))
	}
	shared := slices.ContainsFunc(a.ours, func(o entry) bool { return o.htaccess && o.site.folder() == s.folder() })
	there, err := a.exists(ctx, s, path.Join(s.folder(), ".htaccess"))
	if err != nil {
		return err
	}
	e.htaccess = shared || !there
	if err := a.begin(e); err != nil {
		return err
	}
	if _, err := a.fileman(ctx, s, "mkdir", "-p", s.folder()); err != nil {
		return err
	}
	if !there {
		if err := a.copy(ctx, s, htaccess, ".htaccess"); err != nil {
			return err
		}
	}
	return a.copy(ctx, s, e.answer.KeyAuth, e.answer.Token)
}

func (a *Authenticator) copy(ctx context.Context, s *site, content, name string) error {
	return a.o.files(map[string][]byte{"answer": []byte(content)}, func(paths map[string]string) error {
		_, err := a.fileman(ctx, s, "cp2perm", paths["answer"], path.Join(s.folder(), name), "0644")
		return err
	})
}

// erase takes the answer away, and what is empty then.
func (a *Authenticator) erase(ctx context.Context, e *entry) error {
	s := e.site
	errs := []error{a.rm(ctx, s, path.Join(s.folder(), e.answer.Token))}
	others := slices.ContainsFunc(a.ours, func(o entry) bool {
		return o.answer != e.answer && o.answer.Type == edge.HTTP01 && o.site.folder() == s.folder()
	})
	if others {
		return errors.Join(errs...)
	}
	if e.htaccess {
		errs = append(errs, a.rm(ctx, s, path.Join(s.folder(), ".htaccess")))
	}
	for dir := s.folder(); dir != s.root; dir = path.Dir(dir) {
		empty, err := a.empty(ctx, s, dir)
		if err == nil && empty {
			_, err = a.fileman(ctx, s, "rmdir", dir)
		}
		if err != nil || !empty {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

func (a *Authenticator) rm(ctx context.Context, s *site, name string) error {
	there, err := a.exists(ctx, s, name)
	if err != nil || !there {
		return err
	}
	_, err = a.fileman(ctx, s, "rm", name)
	return err
}

// empty reports whether a folder is there and has nothing in it.
func (a *Authenticator) empty(ctx context.Context, s *site, dir string) (bool, error) {
	there, err := a.exists(ctx, s, dir)
	if err != nil || !there {
		return false, err
	}
	out, err := a.fileman(ctx, s, "list", "both", dir)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "." && f[0] != ".." {
			return false, nil
		}
	}
	return true, nil
}

// awaitFiles asks the sites as a CA would.
func (a *Authenticator) awaitFiles(ctx context.Context, batch []edge.Answer) error {
	return selfcheck.Await(ctx, a.o.Env, batch, selfcheck.Patience{
		Tries: 3, Pause: 2 * time.Second, Hint: "does the name lead to this Plesk, and to no application that answers everything itself?",
	})
}
