package s3front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

func parsed(t *testing.T, said map[string][]string) (target.Kind, target.Values) {
	t.Helper()
	k := Kind()
	v, problems := target.Parse(&k, said, nil, true, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return k, v
}

func (f *fakeAWS) snapshot(*testing.T) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for arn, c := range f.certs {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %v", arn, c.leaf, c.chain, hexHash(c.key), c.tags))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n") + f.doc
}

func TestTarget(t *testing.T) {
	targettest.Run(t, func(t *testing.T) *targettest.Rig {
		f := newFake(t)
		return &targettest.Rig{
			Target: func(_ context.Context, env *target.Env) (delivery.Target, error) {
				o := f.options(env)
				o.Timeout = 700 * time.Millisecond
				return NewTarget(o)
			},
			At:       []installers.Endpoint{f.at.At},
			Item:     func(it *delivery.Item) { it.Within = 10 * time.Second },
			Snapshot: f.snapshot, Secrets: []string{fakeSecret, fakeSession}, Single: true, Fault: f.at.Fault,
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
				resp, err := http.Get(f.site.URL + "/.well-known/acme-challenge/" + a.Token)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if string(body) != a.KeyAuth {
					err = errors.Join(err, fmt.Errorf("%s %s", resp.Status, body))
				}
				return err
			},
			Left: func() string {
				f.mu.Lock()
				defer f.mu.Unlock()
				return strings.TrimPrefix(fmt.Sprint(f.objects), "map[]")
			},
			Down:    func(t *testing.T) func() { return f.at.Fault(t, targettest.Failing) },
			Secrets: []string{fakeSecret, fakeSession},
		}
	})
}
