package accounts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"edge/acmeglue"
	"edge/internal/durable"
	"edge/internal/flock"
)

// Options of Open. Zero values have defaults, which are certbot's.
type Options struct {
	Account string // its ID, where one is chosen
	KeySize int    // of RSA keys that are made, in bits; 2048
	Host    string // that accounts are made on; the machine's name
	Now     func() time.Time
	Durable durable.Writer
	Log     *slog.Logger
}

// Store has the accounts at one server. It implements acmeglue.AccountStore for the
// one that is chosen, or for the only one. Safe for concurrent use.
type Store struct {
	root   string // .../accounts
	server string
	place  string // of the server, below root
	o      Options

	mu     sync.Mutex
	warned map[string]bool
}

var _ acmeglue.AccountStore = (*Store)(nil)

// Open returns the store for a server, given by the URL of its directory. It reads
// and makes nothing.
func Open(configDir, server string, o Options) (*Store, error) {
	place, err := placeOf(server)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(o.Account, "/\x00") || o.Account == "." || o.Account == ".." {
		return nil, fmt.Errorf("account %q: not the ID of an account", o.Account)
	}
	// certbot compares the targets of links with absolute paths.
	if configDir, err = filepath.Abs(configDir); err != nil {
		return nil, err
	}
	if o.KeySize == 0 {
		o.KeySize = 2048
	}
	if o.KeySize > maxKeyBits {
		return nil, fmt.Errorf("an RSA key of %d bits: at most %d are of use", o.KeySize, maxKeyBits)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{root: filepath.Join(configDir, "accounts"), server: server, place: place, o: o, warned: map[string]bool{}}, nil
}

// Dir is the folder of an account, whether it is there or not; with "", that of all
// accounts at the server.
func (s *Store) Dir(id string) string { return filepath.Join(s.root, s.place, id) }

// AmbiguousError says that there are several accounts and none is chosen.
type AmbiguousError struct {
	Server   string
	Accounts []Info
}

func (e *AmbiguousError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "there are %d accounts at %s; choose one with --account:", len(e.Accounts), e.Server)
	for n, a := range e.Accounts {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s (%s)", a.ID, a.Slug())
	}
	return b.String()
}

// NotFoundError says that the account that is chosen is not there. It is not
// fs.ErrNotExist: another one must not be made in its place.
type NotFoundError struct{ Dir string }

func (e *NotFoundError) Error() string { return fmt.Sprintf("Account at %s does not exist", e.Dir) }

// Load implements acmeglue.AccountStore. Accounts that certbot 1 and later wrote have
// no contacts on disk. Errors: *AmbiguousError, *NotFoundError.
func (s *Store) Load(ctx context.Context) (acmeglue.Account, error) {
	f, err := s.pick(ctx)
	if err != nil {
		return acmeglue.Account{}, err
	}
	if f.mode&0o077 != 0 {
		s.warn("others than its owner can get at the account's private key; run chmod 0400 "+filepath.Join(f.dir, keyFile), "mode", fmt.Sprintf("%04o", f.mode))
	}
	return acmeglue.Account{Location: f.uri, Status: "valid", Contact: f.contact, Key: f.key}, nil
}

// warn says a thing once.
func (s *Store) warn(message string, fields ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.warned[message] {
		s.warned[message] = true
		s.o.Log.Warn(message, fields...)
	}
}

// folders are those at the server, and those at the one whose accounts it takes over:
// the same, where certbot has linked them.
func (s *Store) folders(ctx context.Context) (here, before []folder, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if here, err = s.scan(s.place); err != nil {
		return nil, nil, err
	}
	before, err = s.scan(earlier[s.place])
	return here, before, err
}

// pick is the folder of the account: the one that is chosen, or the only one here,
// or, with none here, the only one at the earlier server. The error wraps
// fs.ErrNotExist where an account may be made.
func (s *Store) pick(ctx context.Context) (*folder, error) {
	here, before, err := s.folders(ctx)
	if err != nil {
		return nil, err
	}
	if s.o.Account != "" {
		return s.pickNamed(append(here, before...))
	}
	found := usable(here)
	if len(found) == 0 {
		found = usable(before)
	}
	damaged := damaged(here)
	switch {
	case len(found) == 0 && damaged != nil:
		return nil, damaged.unreadable()
	case len(found) == 0:
		return nil, fmt.Errorf("account at %s: %w", s.server, fs.ErrNotExist)
	case len(found) > 1:
		e := &AmbiguousError{Server: s.server}
		for _, f := range found {
			e.Accounts = append(e.Accounts, f.info(s.server))
		}
		sortInfos(e.Accounts)
		return nil, e
	case damaged != nil:
		s.warn("passing over an account", "error", damaged.unreadable())
	}
	return &found[0], nil
}

func (s *Store) pickNamed(all []folder) (*folder, error) {
	for _, same := range []func(f *folder) bool{
		func(f *folder) bool { return f.name == s.o.Account },
		func(f *folder) bool { return f.is(s.o.Account) },
	} {
		for n := range all {
			f := &all[n]
			switch {
			case !same(f) || errors.Is(f.keyErr, fs.ErrNotExist):
			case f.keyErr != nil:
				return nil, f.unreadable()
			case f.uri == "":
				return nil, fmt.Errorf("registration of account %s: %w", f.name, fs.ErrNotExist)
			default:
				return f, nil
			}
		}
	}
	return nil, &NotFoundError{s.Dir(s.o.Account)}
}

func usable(all []folder) []folder {
	var out []folder
	for _, f := range all {
		if f.complete() {
			out = append(out, f)
		}
	}
	return out
}

// damaged is the first account whose key is there and cannot be read.
func damaged(all []folder) *folder {
	for n, f := range all {
		if f.uri != "" && f.keyErr != nil && !errors.Is(f.keyErr, fs.ErrNotExist) {
			return &all[n]
		}
	}
	return nil
}

func (f *folder) unreadable() error {
	return fmt.Errorf("private key of account %s: %w; move %s away to register a new account", f.name, f.keyErr, f.dir)
}

// Lock implements acmeglue.AccountStore with a lock file in accounts/. certbot does
// not look at it: who runs beside certbot takes certbot's own locks before.
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	if err := s.mkdir(s.root); err != nil {
		return nil, err
	}
	held, err := flock.Dir(ctx, s.root, flock.Options{Timeout: lockWait, Command: "edge: account at " + s.server})
	if err != nil {
		return nil, err
	}
	// An error leaves a file that means nothing: the lock is gone with its descriptor.
	return func() { _ = held.Release() }, nil
}

// lockWait bounds the wait for another process that registers.
const lockWait = 10 * time.Minute
