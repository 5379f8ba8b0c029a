package installers

import (
	"fmt"
	"os"
)

// rooted is a Server that can be told from others of its name, as every Installer can.
type rooted interface {
	Server
	Root() string
}

// owner is whom a checkpoint is of.
type owner struct{ name, root string }

// belongs notes a server that the record is of.
func (r *record) belongs(s Server) {
	r.Servers = append(r.Servers, s.Name())
	if s, ok := s.(rooted); ok && s.Root() != "" {
		if r.Roots == nil {
			r.Roots = map[string]string{}
		}
		r.Roots[s.Name()] = s.Root()
	}
}

// owners are those of a checkpoint. The record is nil where certbot made it, which does
// not say whose it is.
func (r *record) owners() []owner {
	if r == nil {
		return []owner{{}}
	}
	var out []owner
	for _, name := range r.Servers {
		out = append(out, owner{name, r.Roots[name]})
	}
	return out
}

// is reports what speaks against a server being the owner.
func (o owner) is(s Server) *otherServerError {
	r, ok := s.(rooted)
	if !ok || o.root == "" || o.root == r.Root() {
		return nil
	}
	was, err1 := os.Stat(o.root)
	now, err2 := os.Stat(r.Root())
	if err1 == nil && err2 == nil && os.SameFile(was, now) {
		return nil
	}
	return &otherServerError{name: s.Name(), was: o.root, now: r.Root()}
}

// otherServerError is a server that was opened with other options than that which a
// checkpoint is of.
type otherServerError struct {
	name, was, now string
	back           bool // the files are back: what is left to do is small
}

func (e *otherServerError) Error() string {
	byHand := ""
	if e.back {
		byHand = "reload it by hand, or "
	}
	return fmt.Sprintf("it belongs to the server with the folder %s, and %s was opened with %s: %srun edge with the flags that name that one, see edge --help %[2]s", e.was, e.name, e.now, byHand)
}
