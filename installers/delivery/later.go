package delivery

import "encoding/hex"

// Later is the error of a Put where nothing is wrong: the server takes a certificate at
// another time only, since that ends connections. The delivery is pending then, and the
// next run tries again.
type Later struct {
	Why string // and when, for people
	// There: the certificate was put where the server takes it from when it is started the
	// next time. Else all is as it was.
	There bool
}

func (l *Later) Error() string { return l.Why }

// Timed is a Planner of a server that takes certificates at times.
type Timed interface {
	Planner
	// Later says why the server must not be asked now to take a certificate; nil where it
	// may be. With There, Activate leaves the server alone.
	Later() *Later
}

// onlyLater is the *Later that an error is, nil where something failed as well.
func onlyLater(err error) *Later {
	if l, ok := err.(*Later); ok {
		return l
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) == 1 {
		return onlyLater(joined.Unwrap()[0])
	}
	return nil
}

// waits reports whether a certificate waits for its time.
func (r *record) waits(m *Material) bool {
	return r.Later != "" && r.Tried == hex.EncodeToString(m.Leaf[:])
}
