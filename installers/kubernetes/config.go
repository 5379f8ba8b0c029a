package kubernetes

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"edge/installers/api"
	"edge/installers/delivery"
	"edge/installers/target"
)

// serviceAccount is where a pod finds its credentials.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// Kind describes kubernetes for configuration, flags and docs.
func Kind() target.Kind {
	return target.Kind{
		Name:        "kubernetes",
		Description: "A secret of type kubernetes.io/tls, for ingress and gateway controllers",
		Settings: []target.Setting{
			{Name: "secret", Type: target.Text, Must: true, Doc: "name of the secret"},
			{Name: "namespace", Type: target.Text, Doc: "namespace of the secret; in a pod, that of the pod is the default"},
			{Name: "server", Type: target.Text, Doc: "https://HOST:PORT of the API server; in a pod, the cluster's is the default"},
			{Name: "token", Type: target.Secret, Doc: "token of a service account; in a pod, that of the pod is the default"},
			{Name: "ca", Type: target.Path, Doc: "file with the roots of the API server, PEM; in a pod, the cluster's are the default"},
			{Name: "fingerprint", Type: target.Text, Doc: "SHA-256 of the API server's certificate, in place of roots"},
			{Name: "take_over", Type: target.Bool, Default: "false", Doc: "also change a secret that another controller keeps, or one of another type"},
			{Name: "verify", Type: target.List, Installs: true, Doc: "where the certificate has to be shown, HOST:PORT or HOST:PORT/PROTOCOL, as verify of a delivery"},
			{Name: "timeout", Type: target.Duration, Default: "30s", Doc: "how long one request may take"},
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			o, err := options(v, env.Getenv, serviceAccount)
			if err != nil {
				return nil, err
			}
			t, err := newTarget(o, env.API)
			if err != nil {
				return nil, err
			}
			return delivery.ShownAt(t, v.List("verify"))
		},
	}
}

// Options are what a Target is made of.
type Options struct {
	Server            string // https://HOST:PORT
	Namespace, Secret string
	Token             string
	Roots             *x509.CertPool // nil: the system's
	Fingerprint       string         // in place of roots; empty: none
	// TakeOver allows to change a secret that another controller keeps, or one of
	// another type, which it keeps.
	TakeOver bool
	Timeout  time.Duration // of a request; zero: 30 seconds
}

// options fills in what a pod is given: pod is the folder of its service account.
func options(v target.Values, getenv func(string) string, pod string) (Options, error) {
	o := Options{
		Server: v.Text("server"), Namespace: v.Text("namespace"), Secret: v.Text("secret"),
		Fingerprint: v.Text("fingerprint"), TakeOver: v.Bool("take_over"), Timeout: v.Duration("timeout"),
	}
	bad := func(err error) (Options, error) { return Options{}, fmt.Errorf("kubernetes: %w", err) }
	ca := v.Text("ca")
	var err error
	inside := o.Server == ""
	if inside {
		host, port := getenv("KUBERNETES_SERVICE_HOST"), cmp.Or(getenv("KUBERNETES_SERVICE_PORT"), "443")
		if host == "" {
			return bad(errors.New("this is no pod of a cluster; say where the API server is with server"))
		}
		o.Server = "https://" + net.JoinHostPort(host, port)
		if ca == "" && o.Fingerprint == "" {
			ca = filepath.Join(pod, "ca.crt")
		}
	}
	if o.Token, err = v.Secret("token"); err != nil {
		return Options{}, err
	}
	// A token of the pod is for its own cluster only.
	if o.Token == "" && inside {
		if o.Token, err = readSmall(filepath.Join(pod, "token")); err != nil {
			return bad(fmt.Errorf("token of the pod: %w", err))
		}
	}
	if o.Token == "" {
		return bad(errors.New("a token is needed; write token: file:PATH"))
	}
	if o.Namespace == "" && inside {
		if o.Namespace, err = readSmall(filepath.Join(pod, "namespace")); err != nil {
			return bad(fmt.Errorf("namespace of the pod: %w", err))
		}
	}
	if o.Namespace == "" {
		return bad(errors.New("namespace: say in which one the secret is"))
	}
	if o.Roots, err = api.Roots(ca); err != nil {
		return bad(fmt.Errorf("ca: %w", err))
	}
	return o, nil
}

// maxSmall bounds a file of a pod, in bytes.
const maxSmall = 64 << 10

func readSmall(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close() // read-only
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSmall))
	return strings.TrimSpace(string(raw)), err
}

// Names are those of RFC 1123, as the API server wants them.
var (
	label     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

// newTarget checks the options.
func newTarget(o Options, client func(api.Options) (*api.Client, error)) (*Target, error) {
	switch {
	case !label.MatchString(o.Namespace):
		return nil, fmt.Errorf("kubernetes: %q is no name of a namespace", o.Namespace)
	case len(o.Secret) > 253 || !subdomain.MatchString(o.Secret):
		return nil, fmt.Errorf("kubernetes: %q is no name of a secret", o.Secret)
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("kubernetes: the token has characters that no token has; is the file the right one?")
	}
	c, err := client(api.Options{
		Base: o.Server, Roots: o.Roots, Fingerprint: o.Fingerprint, Secrets: []string{o.Token}, Timeout: o.Timeout, Limit: 4 << 20,
		Sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", "Bearer "+o.Token)
			r.Header.Set("Accept", "application/json")
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("kubernetes: server: %w", err)
	}
	return &Target{o: o, api: c}, nil
}
