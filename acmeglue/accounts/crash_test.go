package accounts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"edge/acmeglue"
	"edge/internal/durable"
)

const testURI = "https://ca.test/acct/1"

// operations change what is on disk in several steps. Each can be done again after
// it was cut off, as the issuer's are.
var operations = []struct {
	name    string
	account bool // there is one before
	run     func(ctx context.Context, s *Store, heard func(acmeglue.Account) error) error
	before  []string // accounts that certbot may find in the meantime, by their URLs
	after   []string
}{
	{"register", false, func(ctx context.Context, s *Store, heard func(acmeglue.Account) error) error {
		return withNewKey(ctx, s, acmeglue.Account{Location: testURI, Status: "valid"}, heard)
	}, nil, []string{testURI}},
	{"change the key", true, func(ctx context.Context, s *Store, heard func(acmeglue.Account) error) error {
		a, err := s.Load(ctx)
		if err != nil {
			return err
		}
		return withNewKey(ctx, s, a, heard)
	}, []string{testURI}, []string{testURI}},
	{"forget", true, func(ctx context.Context, s *Store, _ func(acmeglue.Account) error) error {
		a, err := s.Load(ctx)
		if err != nil {
			return ignoreMissing(err)
		}
		return s.Forget(ctx, a)
	}, []string{testURI}, nil},
	{"deactivate", true, func(ctx context.Context, s *Store, _ func(acmeglue.Account) error) error {
		a, err := s.Load(ctx)
		if err != nil {
			return ignoreMissing(err)
		}
		a.Status = "deactivated"
		return s.Forget(ctx, a)
	}, []string{testURI}, nil},
	{"move to another URL", true, func(ctx context.Context, s *Store, _ func(acmeglue.Account) error) error {
		a, err := s.Load(ctx)
		if err != nil {
			return err
		}
		a.Location = testURI + "2"
		return s.Save(ctx, a)
	}, []string{testURI}, []string{testURI + "2"}},
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// withNewKey lets the CA hear of a new key, and saves.
func withNewKey(ctx context.Context, s *Store, a acmeglue.Account, heard func(acmeglue.Account) error) error {
	key, err := s.NewKey(ctx)
	if err != nil {
		return err
	}
	a.Key = key
	if err := heard(a); err != nil {
		return err
	}
	return s.Save(ctx, a)
}

// at returns a hook that does act at the n-th step, and a pointer to their number.
func at(n int, act func() error) (durable.Writer, *int) {
	seen := new(int)
	return durable.Writer{Before: func(durable.Step, string) error {
		if *seen++; *seen-1 == n {
			return act()
		}
		return nil
	}}, seen
}

// The process that is killed gets: the operation, the step, the folder.
const asVictim = "EDGE_ACCOUNTS_VICTIM"

func victim() int {
	what := strings.SplitN(os.Getenv(asVictim), " ", 3)
	op, err1 := strconv.Atoi(what[0])
	n, err2 := strconv.Atoi(what[1])
	w, _ := at(n, func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	s, err3 := Open(what[2], testServer, Options{KeySize: 1024, Durable: w})
	if err := errors.Join(err1, err2, err3); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(operations[op].run(context.Background(), s, func(a acmeglue.Account) error { return hear(what[2], a) }))
	return 0
}

// hear notes a key that the CA knows, outside of accounts/.
func hear(dir string, a acmeglue.Account) error {
	id, err := ID(a.Key.Public())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "heard"), []byte(id), 0o600)
}

// Wherever an operation ends, certbot finds the old account or the new one; done
// again, it comes to its end, with the key that the CA has heard of.
func TestCrashAtEachStep(t *testing.T) {
	o := startOracle(t)
	stride := 3
	if os.Getenv("EDGE_SOAK") != "" {
		stride = 1
	}
	for number, op := range operations {
		w, steps := at(-1, nil)
		dir := crashTree(t, op.account)
		if err := op.run(t.Context(), open(t, dir, testServer, Options{Durable: w}), func(acmeglue.Account) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if *steps < 2 {
			t.Errorf("%s has %d steps only: not everything goes through durable", op.name, *steps)
		}
		for n := range *steps {
			if testing.Short() && n%5 != number%5 {
				continue
			}
			t.Run(fmt.Sprintf("%s fails at %d", op.name, n), func(t *testing.T) {
				dir := crashTree(t, op.account)
				w, _ := at(n, func() error { return syscall.ENOSPC })
				err := op.run(t.Context(), open(t, dir, testServer, Options{Durable: w}), func(a acmeglue.Account) error { return hear(dir, a) })
				if !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("error %v, want ENOSPC", err)
				}
				checkCrash(t, o.of(t), number, dir)
			})
			if n%stride != number%stride {
				continue
			}
			t.Run(fmt.Sprintf("%s dies at %d", op.name, n), func(t *testing.T) {
				dir := crashTree(t, op.account)
				child := exec.Command(os.Args[0])
				child.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", asVictim, number, n, dir))
				out, err := child.CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("was not killed: %v\n%s", err, out)
				}
				checkCrash(t, o.of(t), number, dir)
			})
		}
	}
}

func crashTree(t testing.TB, account bool) string {
	t.Helper()
	dir := t.TempDir()
	if account {
		register(t, open(t, dir, testServer, Options{}), testURI)
	}
	return dir
}

func uris(found []string) []string {
	var out []string
	for _, f := range found {
		_, uri, _ := strings.Cut(f, " ")
		out = append(out, uri)
	}
	return out
}

func checkCrash(t *testing.T, o *oracle, number int, dir string) {
	t.Helper()
	op := operations[number]
	found := uris(o.found(dir, testServer))
	if !slices.Equal(found, op.before) && !slices.Equal(found, op.after) {
		t.Errorf("certbot finds %q, want %q or %q", found, op.before, op.after)
	}
	s := open(t, dir, testServer, Options{})
	err := op.run(t.Context(), s, func(a acmeglue.Account) error {
		heard, err := os.ReadFile(filepath.Join(dir, "heard"))
		// An account that was through with it gets yet another one.
		if id := idOf(t, a.Key); err == nil && id != string(heard) && !hasKey(t, s, string(heard)) {
			t.Errorf("the CA has heard of %s, the key is now %s", heard, id)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("again: %v", err)
	}
	found = o.found(dir, testServer)
	if !slices.Equal(uris(found), op.after) {
		t.Errorf("in the end certbot finds %q, want %q", found, op.after)
	}
	left := tree(t, dir)
	if strings.Contains(left, nextFile) || strings.Contains(left, ".tmp-") && len(op.after) > 0 {
		t.Errorf("left behind:\n%s", left)
	}
	if len(op.after) == 0 {
		return
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1 || !strings.HasPrefix(found[0], list[0].ID+" ") {
		t.Fatalf("the folder has not the name of its key: %+v, %v; certbot: %q", list, err, found)
	}
	if op.name == "change the key" && (len(list[0].Former) == 0 || slices.Contains(list[0].Former, list[0].ID)) {
		t.Errorf("former IDs %q of %s", list[0].Former, list[0].ID)
	}
}

// hasKey reports whether the account that is loaded has that key.
func hasKey(t *testing.T, s *Store, id string) bool {
	a, err := s.Load(t.Context())
	return err == nil && idOf(t, a.Key) == id
}
