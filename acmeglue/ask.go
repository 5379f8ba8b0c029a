package acmeglue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How long to wait for the permission endpoint, and how long to believe it.
const (
	askTimeout  = 2 * time.Second
	askAtOnce   = 64 // questions to one endpoint at a time
	keepConsent = 10 * time.Minute
	keepRefusal = 5 * time.Minute
	keepTrouble = 10 * time.Second // after no answer: the same name is not asked again for so long
)

// answer is what the permission endpoint said of a name.
type answer struct {
	consent bool
	err     error // no answer
	until   time.Time
}

// asker asks a permission endpoint and remembers what it said. Its memory is
// bounded, whatever names strangers make up. Safe for concurrent use.
type asker struct {
	url    *url.URL
	client *http.Client
	slots  chan struct{}
	now    func() time.Time
	memory memory
	silent atomic.Bool // it did not answer the last time
}

func newAsker(rawURL string, now func() time.Time) *asker {
	u, err := url.Parse(rawURL)
	if err != nil { // Settings.check has seen to it
		u = &url.URL{}
	}
	return &asker{
		url: u,
		client: &http.Client{
			Timeout:       askTimeout,
			CheckRedirect: noRedirect,
			Transport: &http.Transport{
				DialContext:            (&net.Dialer{Timeout: askTimeout}).DialContext,
				MaxConnsPerHost:        askAtOnce,
				MaxIdleConnsPerHost:    8,
				IdleConnTimeout:        30 * time.Second,
				MaxResponseHeaderBytes: 16 << 10,
				DisableCompression:     true,
			},
		},
		slots: make(chan struct{}, askAtOnce),
		now:   now,
	}
}

// known is the remembered answer for a name.
func (a *asker) known(name string) (answer, bool) {
	ans, ok := a.memory.get(name)
	now := a.now()
	if !ok || !now.Before(ans.until) || ans.until.Sub(now) > keepConsent {
		return answer{}, false
	}
	return ans, true
}

// ask asks, and remembers.
func (a *asker) ask(ctx context.Context, name string) answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		// Nobody was asked about this name, so nothing is known of it.
		return answer{err: errors.New("the permission endpoint is too slow for the number of new names")}
	}
	consent, err := a.get(ctx, name)
	ans := answer{consent: consent, err: err}
	switch {
	case err != nil:
		ans.until = a.now().Add(keepTrouble)
	case consent:
		ans.until = a.now().Add(keepConsent)
	default:
		ans.until = a.now().Add(keepRefusal)
	}
	a.memory.put(name, ans)
	return ans
}

// get does the request. 2xx is consent, 5xx and 429 are trouble of the
// endpoint, everything else is a refusal.
func (a *asker) get(ctx context.Context, name string) (bool, error) {
	u := *a.url
	q := u.Query()
	q.Set("domain", name)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("User-Agent", "edge")
	resp, err := a.client.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask whether %s may have a certificate: %w", name, err)
	}
	defer resp.Body.Close() // nothing of it is needed
	// Read a little, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	switch {
	case resp.StatusCode/100 == 2:
		return true, nil
	case resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests:
		return false, fmt.Errorf("ask whether %s may have a certificate: the endpoint %s answered %s", name, a.url.Redacted(), resp.Status)
	}
	return false, nil
}

// memory is a bounded map in two generations: when the young one is full it
// becomes the old one, and the old one is dropped. No list, no timestamps.
type memory struct {
	mu         sync.Mutex
	young, old map[string]answer
}

// generation is the size of one; both together take some 6 MB.
const generation = 16 << 10

func (m *memory) get(name string) (answer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a, ok := m.young[name]; ok {
		return a, true
	}
	a, ok := m.old[name]
	return a, ok
}

func (m *memory) put(name string, a answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.young == nil || len(m.young) >= generation {
		m.old, m.young = m.young, make(map[string]answer)
	}
	m.young[strings.Clone(name)] = a
}
