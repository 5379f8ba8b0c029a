package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"edge/installers"
)

// WebServer is a server that an installer knows: its configuration is changed to use
// the certificate, and the transaction of package installers tests, activates, verifies
// and undoes.
type WebServer struct {
	Installer installers.Installer
	Runner    *installers.Runner
	// Lock keeps others out and takes back what they left unfinished.
	Lock func(ctx context.Context) (release func() error, err error)
	// HTTPPort and HTTPSPort are the server's; 0: 80, 443.
	HTTPPort, HTTPSPort uint16
	ConfigDir           string // as in installers.Request

	asked bool // by the last Look
}

var _ Asking = (*WebServer)(nil)

// Kind implements Target.
func (w *WebServer) Kind() string { return w.Installer.Name() }

// Where implements Target.
func (w *WebServer) Where() string { return w.Installer.Root() }

// Settings implements Target.
func (w *WebServer) Settings() string { return fmt.Sprintf("%d %d", w.HTTPPort, w.HTTPSPort) }

func (w *WebServer) request(m *Material) (installers.Request, error) {
	if m.Live == "" {
		return installers.Request{}, errors.New("there is no folder with the certificate")
	}
	file := func(kind string) string { return filepath.Join(m.Live, kind+".pem") }
	return installers.Request{
		Names:       m.Hosts,
		Certificate: installers.Certificate{Lineage: m.Name, Cert: file("cert"), Key: file("privkey"), Chain: file("chain"), FullChain: file("fullchain")},
		Deploy:      true, HTTPPort: w.HTTPPort, HTTPSPort: w.HTTPSPort, ConfigDir: w.ConfigDir,
	}, nil
}

func (w *WebServer) plan(ctx context.Context, m *Material) (*installers.Plan, installers.Request, error) {
	r, err := w.request(m)
	if err != nil {
		return nil, r, fmt.Errorf("%s: %w", w.Kind(), err)
	}
	p, err := w.Installer.Plan(ctx, r)
	if err != nil {
		return nil, r, fmt.Errorf("%s: %w", w.Kind(), err)
	}
	return p, r, nil
}

// Look implements Target: the server is configured with the certificate, and shows it
// where its configuration says that it does.
func (w *WebServer) Look(ctx context.Context, m *Material, _ json.RawMessage) ([]string, error) {
	p, _, err := w.plan(ctx, m)
	if err != nil {
		return nil, err
	}
	var list []string
	w.asked = false
	if !p.Empty() {
		list = append(list, w.Kind()+" is not configured with it")
	}
	for _, e := range p.Serves {
		if e.Leaf != [32]byte{} {
			continue // another certificate, which is not ours to judge
		}
		w.asked = true
		if why := wrong(ctx, e, m.Certs[0]); why != "" {
			list = append(list, why)
		}
	}
	return list, nil
}

// Asked implements Asking.
func (w *WebServer) Asked() bool { return w.asked }

// Plan implements Target.
func (w *WebServer) Plan(ctx context.Context, m *Material) []string {
	p, _, err := w.plan(ctx, m)
	if err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	return planned(p, w.Installer)
}

// Put implements Target.
func (w *WebServer) Put(ctx context.Context, m *Material, _ json.RawMessage) (c Change, err error) {
	release, err := w.Lock(ctx)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, release()) }()
	p, r, err := w.plan(ctx, m)
	if err != nil {
		return c, err
	}
	if _, err = w.Runner.Apply(ctx, w.Installer, p, r); err != nil {
		return c, err
	}
	c.Verified = len(p.Serves) > 0
	return c, nil
}
