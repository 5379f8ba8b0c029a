package acmeglue

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"math/big"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"edge"

	"golang.org/x/crypto/ocsp"
)

// responder answers for the certificates of a fakeCA, without a socket, since a
// socket would stop the test's clock.
type responder struct {
	ca     *fakeCA
	asked  atomic.Int64
	status atomic.Int64           // an ocsp status, or -1 for being down
	forger atomic.Pointer[fakeCA] // signs in the CA's place
}

func (r *responder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.asked.Add(1)
	if r.status.Load() < 0 {
		return nil, errors.New("connection refused")
	}
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	q, err := ocsp.ParseRequest(raw)
	if err != nil {
		return nil, err
	}
	signer := r.ca
	if f := r.forger.Load(); f != nil {
		signer = f
	}
	now := r.ca.now()
	answer := ocsp.Response{Status: int(r.status.Load()), SerialNumber: new(big.Int).Set(q.SerialNumber), ThisUpdate: now, NextUpdate: now.Add(4 * days), IssuerHash: crypto.SHA1}
	if answer.Status == ocsp.Revoked {
		answer.RevokedAt = now
	}
	der, err := ocsp.CreateResponse(signer.inter, signer.inter, answer, signer.interKey)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(der))}, nil
}

func TestStaple(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		ca.ocsp = "http://ocsp.ca.test/"
		r := &responder{ca: ca}
		m := NewManager(ManagerOptions{Storage: openStorage(t), HTTP: &http.Client{Transport: r}})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		time.Sleep(time.Second)
		stapled := func() []byte {
			t.Helper()
			c, err := m.Certificate("example.org", nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.OCSPStaple
		}
		first := stapled()
		if first == nil {
			t.Fatal("no staple")
		}
		held, err := m.Certificate("example.org", nil)
		if err != nil {
			t.Fatal(err)
		}
		if until := statusOf(t, m, "example.org").StapledUntil; time.Until(until) < 3*days {
			t.Errorf("stapled until %v", until)
		}
		time.Sleep(2*days + hours) // asked again at half of its life
		if n := r.asked.Load(); n != 2 {
			t.Errorf("asked %d times in two days, want 2", n)
		}
		if string(stapled()) == string(first) {
			t.Error("the staple is the old one")
		}
		if string(held.OCSPStaple) != string(first) {
			t.Error("a certificate that a handshake holds was changed")
		}
		r.status.Store(-1)
		time.Sleep(3 * days)
		if stapled() == nil {
			t.Error("the responder is down, and a staple with a day to go is given up")
		}
		time.Sleep(2 * days)
		if stapled() != nil {
			t.Error("an expired staple is served")
		}
		r.status.Store(ocsp.Good)
		r.forger.Store(newFakeCA(t, "forger.test", time.Now))
		time.Sleep(days)
		if stapled() != nil {
			t.Error("a forged staple is served")
		}
		r.forger.Store(nil)
		before := serial(t, m, "example.org")
		r.status.Store(ocsp.Revoked)
		time.Sleep(days)
		if serial(t, m, "example.org") == before {
			t.Error("a revoked certificate was not replaced")
		}
		if n := ca.orders.Load(); n > 4 {
			t.Errorf("%d orders in a day, since the CA revokes everything", n)
		}
		stop()
	})
}

func TestCheckRevocation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		issue := func() []byte {
			t.Helper()
			got, err := ca.Issue(t.Context(), Order{Identifiers: ids(t, "example.org")})
			if err != nil {
				t.Fatal(err)
			}
			return got.Chain
		}
		r := &responder{ca: ca}
		client := &http.Client{Transport: r}
		silent, err := CheckRevocation(t.Context(), client, issue(), time.Now())
		if err != nil || silent != (Revocation{}) || r.asked.Load() != 0 {
			t.Errorf("a leaf without responder: %+v, %v, asked %d times", silent, err, r.asked.Load())
		}
		ca.ocsp = "http://ocsp.ca.test/"
		chain := issue()
		good, err := CheckRevocation(t.Context(), client, chain, time.Now())
		if err != nil || good.Revoked || !good.Until.Equal(time.Now().Add(4*days)) {
			t.Errorf("a good one: %+v, %v", good, err)
		}
		r.status.Store(ocsp.Revoked)
		bad, err := CheckRevocation(t.Context(), client, chain, time.Now())
		if err != nil || !bad.Revoked || bad.At.IsZero() {
			t.Errorf("a revoked one: %+v, %v", bad, err)
		}
		r.forger.Store(newFakeCA(t, "forger.test", time.Now))
		if got, err := CheckRevocation(t.Context(), client, chain, time.Now()); err == nil {
			t.Errorf("a forged answer is believed: %+v", got)
		}
	})
}

func TestNoResponderNoQuestion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ca := newFakeCA(t, "ca.test", time.Now)
		r := &responder{ca: ca}
		m := NewManager(ManagerOptions{Storage: openStorage(t), HTTP: &http.Client{Transport: r}})
		stop := running(t, m, one(ca, ids(t, "example.org")...))
		time.Sleep(10 * days)
		if n := r.asked.Load(); n != 0 {
			t.Errorf("asked %d times", n)
		}
		if st := statusOf(t, m, "example.org"); st.State != edge.StateValid {
			t.Errorf("status %+v", st)
		}
		stop()
	})
}
