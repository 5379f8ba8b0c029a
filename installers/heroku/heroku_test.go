package heroku

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

func (f *fakeHeroku) snapshot(*testing.T) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, e := range f.endpoints {
		lines = append(lines, e.id+" "+e.name+" "+e.chain+e.key)
	}
	return strings.Join(lines, "\n") + fmt.Sprint(f.domains)
}

func TestTarget(t *testing.T) {
	targettest.Run(t, func(t *testing.T) *targettest.Rig {
		f := newFake(t)
		return &targettest.Rig{
			Target:   func(_ context.Context, env *target.Env) (delivery.Target, error) { return NewTarget(f.options(env)) },
			At:       []installers.Endpoint{f.at.At},
			Item:     func(it *delivery.Item) { it.Within = 10 * time.Second },
			Snapshot: f.snapshot, Secrets: []string{fakeToken}, Fault: f.at.Fault,
		}
	})
}

func TestProof(t *testing.T) {
	targettest.Prove(t, func(t *testing.T) *targettest.Proof {
		f := newFake(t)
		return &targettest.Proof{
			Authenticator: func(_ context.Context, env *target.Env) (target.Authenticator, error) {
				return NewAuthenticator(f.options(env))
			},
			Type: edge.HTTP01,
			Answers: func(a edge.Answer) error {
				f.mu.Lock()
				if f.booting > 0 { // nobody looks at the dynos after a cleanup
					f.booting = 0
					f.boot()
				}
				f.mu.Unlock()
				resp, err := http.Get(f.site.URL + "/.well-known/acme-challenge/" + a.Token)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if strings.TrimSpace(string(body)) != a.KeyAuth {
					err = errors.Join(err, fmt.Errorf("%s %s", resp.Status, body))
				}
				return err
			},
			Left: func() string {
				f.mu.Lock()
				defer f.mu.Unlock()
				if len(f.vars) != 1 {
					return "there are more variables"
				}
				return ""
			},
			Down:    func(t *testing.T) func() { return f.at.Fault(t, targettest.Failing) },
			Secrets: []string{fakeToken, "SECRETDATABASE"},
		}
	})
}
