package external

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge"
	"edge/installers"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

// script writes a handler in the way of marcan's example: each answer is a file of a
// folder, which a server reads; commands that it does not know are NotImplemented.
func script(t *testing.T, perform, cleanup string) (path, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "srv")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return handler(t, fmt.Sprintf("dir=%s\ncase \"$cmd\" in\nperform) %s;;\ncleanup) %s;;\npost-perform|post-cleanup) : > $dir/.reloaded;;\n*) echo NotImplemented; exit 1;;\nesac\n", dir, perform, cleanup)), dir
}

func handler(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "external-handler.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nset -e\ncmd=\"$1\"\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// values are what the kind is told.
func values(t *testing.T, said map[string][]string) target.Values {
	t.Helper()
	k := Kind()
	v, problems := target.Parse(&k, said, nil, true, false)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return v
}

func newProof(t *testing.T) *targettest.Proof {
	path, dir := script(t, `printf '%s' "$validation" > "$dir/$token"`, `rm -f "$dir/$token"`)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return &targettest.Proof{
		Type: edge.HTTP01,
		Authenticator: func(ctx context.Context, env *target.Env) (target.Authenticator, error) {
			return Kind().Authenticator(ctx, values(t, map[string][]string{"handler": {path}}), env)
		},
		Answers: func(a edge.Answer) error {
			resp, err := http.Get(server.URL + "/" + a.Token)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != a.KeyAuth {
				return fmt.Errorf("%s %q %v", resp.Status, body, err)
			}
			return nil
		},
		Left: func() string {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err.Error()
			}
			for _, e := range entries {
				if e.Name() != ".reloaded" {
					return e.Name()
				}
			}
			return ""
		},
		Down: func(t *testing.T) (restore func()) {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Rename(path+".away", path); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
}

func TestProof(t *testing.T) { targettest.Prove(t, newProof) }

// bench is an Authenticator with a folder and a log of its own.
func bench(t *testing.T, o Options) (a *Authenticator, log *strings.Builder) {
	t.Helper()
	log = &strings.Builder{}
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.WorkDir == "" {
		o.WorkDir = t.TempDir()
	}
	if o.Exec == nil {
		o.Exec = installers.Exec
	}
	if o.Types == nil {
		o.Types = edge.ChallengeTypes
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a, log
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
