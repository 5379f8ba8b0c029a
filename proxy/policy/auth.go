package policy

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// BasicAuth asks for a name and a password (RFC 7617). Made by NewBasicAuth.
// Safe for concurrent use.
type BasicAuth struct {
	realm   string
	forward bool
	users   map[string]hash
	decoy   hash          // compared for names that are not known: they take as long
	slots   chan struct{} // hashes that are computed at once
	waiting chan struct{} // requests that wait for one

	// known are credentials that were right, as a hash under a key of this
	// process, so that not every request costs a bcrypt.
	key   [32]byte
	mu    sync.Mutex
	known map[[sha256.Size]byte]struct{}
}

const (
	maxKnown   = 4096
	maxWaiting = 64
)

// BasicAuthOptions are what a BasicAuth is made from.
type BasicAuthOptions struct {
	Realm string
	Users map[string]string // hash by name: bcrypt ("$2y$…") or argon2id ("$argon2id$v=19$m=…,t=…,p=…$salt$hash")
	// Forward leaves the Authorization field in what goes upstream; otherwise it is dropped.
	Forward bool
}

// NewBasicAuth checks the hashes. The error names the user whose hash is not understood.
func NewBasicAuth(o BasicAuthOptions) (*BasicAuth, error) {
	if len(o.Users) == 0 {
		return nil, errors.New("basic auth: no user")
	}
	if o.Realm == "" {
		o.Realm = "restricted"
	}
	a := &BasicAuth{realm: o.Realm, forward: o.Forward, users: map[string]hash{}, known: map[[sha256.Size]byte]struct{}{},
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)), waiting: make(chan struct{}, maxWaiting)}
	rand.Read(a.key[:])
	names := make([]string, 0, len(o.Users))
	for name := range o.Users {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "" || strings.Contains(name, ":") {
			return nil, fmt.Errorf("basic auth: user %q: a name is not empty and has no colon", name)
		}
		h, err := parseHash(o.Users[name])
		if err != nil {
			return nil, fmt.Errorf("basic auth: user %s: %w", name, err)
		}
		a.users[name] = h
		if a.decoy == nil {
			a.decoy = h
		}
	}
	return a, nil
}

// Forwards reports whether the Authorization field goes upstream.
func (a *BasicAuth) Forwards() bool { return a.forward }

// verify checks a name and a password. busy means that too many others wait.
func (a *BasicAuth) verify(user, password string) (ok, busy bool) {
	h, there := a.users[user]
	if !there {
		h = a.decoy
	}
	mac := hmac.New(sha256.New, a.key[:])
	fmt.Fprintf(mac, "%d:%s%s", len(user), user, password)
	sum := [sha256.Size]byte(mac.Sum(nil))
	a.mu.Lock()
	_, known := a.known[sum]
	a.mu.Unlock()
	if known {
		return true, false
	}
	select {
	case a.waiting <- struct{}{}:
	default:
		return false, true
	}
	a.slots <- struct{}{}
	right := h.matches(password)
	<-a.slots
	<-a.waiting
	if !right || !there {
		return false, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxKnown {
		clear(a.known)
	}
	a.known[sum] = struct{}{}
	return true, false
}

// basicCredentials reads an Authorization field.
func basicCredentials(field string) (user, password string, ok bool) {
	scheme, rest, _ := strings.Cut(field, " ")
	if !strings.EqualFold(scheme, "Basic") || len(rest) > 4096 {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimLeft(rest, " "))
	if err != nil {
		return "", "", false
	}
	user, password, ok = strings.Cut(string(raw), ":")
	return user, password, ok && user != ""
}

// hash is a stored password.
type hash interface{ matches(password string) bool }

func parseHash(s string) (hash, error) {
	switch {
	case strings.HasPrefix(s, "$2"):
		cost, err := bcrypt.Cost([]byte(s))
		if err != nil {
			return nil, fmt.Errorf("bcrypt hash: %w", err)
		}
		if cost > 16 {
			return nil, fmt.Errorf("bcrypt cost %d takes seconds a request; use 10 to 14", cost)
		}
		return bcryptHash(s), nil
	case strings.HasPrefix(s, "$argon2id$"):
		return parseArgon2(s)
	}
	return nil, errors.New("hash is neither bcrypt ($2y$…) nor argon2id ($argon2id$…); make one with `htpasswd -nB NAME`")
}

type bcryptHash []byte

func (h bcryptHash) matches(password string) bool {
	return bcrypt.CompareHashAndPassword(h, []byte(password)) == nil
}

type argon2Hash struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

func (h *argon2Hash) key(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.sum)))
}

func (h *argon2Hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.key(password), h.sum) == 1
}

// parseArgon2 reads the PHC string format, within bounds that a server can bear.
func parseArgon2(s string) (hash, error) {
	bad := errors.New("argon2id hash is not $argon2id$v=19$m=KiB,t=PASSES,p=THREADS$SALT$HASH")
	p := strings.Split(s, "$")
	if len(p) != 6 || p[2] != "v=19" {
		return nil, bad
	}
	h := &argon2Hash{}
	for _, pair := range strings.Split(p[3], ",") {
		k, v, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return nil, bad
		}
		switch {
		case k == "m" && n >= 8 && n <= 256<<10:
			h.memory = uint32(n)
		case k == "t" && n >= 1 && n <= 32:
			h.time = uint32(n)
		case k == "p" && n >= 1 && n <= 16:
			h.threads = uint8(n)
		default:
			return nil, fmt.Errorf("argon2id parameter %s is out of bounds (m 8 to 262144, t 1 to 32, p 1 to 16)", pair)
		}
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.DecodeString(p[4])
	h.sum, err2 = base64.RawStdEncoding.DecodeString(p[5])
	if err1 != nil || err2 != nil || h.memory == 0 || h.time == 0 || h.threads == 0 || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 {
		return nil, bad
	}
	return h, nil
}
