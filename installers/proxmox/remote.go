package proxmox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"edge/installers/api"
)

// remote is a node behind the API.
type remote struct {
	o    *Options
	api  *api.Client
	node string
	at   string
}

func (r *remote) address() string { return r.at }

// connect logs in, where there is no token, and finds the node. Pins are the fingerprints
// that are trusted; none: roots are.
func connect(ctx context.Context, o *Options, pins []string) (*remote, error) {
	options := api.Options{Base: o.Server + "/api2/json", Roots: o.Roots, Fingerprint: strings.Join(pins, ","), Timeout: o.Timeout}
	sign := o.token
	if o.Token == "" {
		s, err := o.login(ctx, options)
		if err != nil {
			return nil, err
		}
		sign = s.sign
		options.Secrets = []string{s.Ticket, s.CSRF}
	} else {
		_, secret := o.tokenParts()
		options.Secrets = []string{o.Token, secret}
	}
	options.Sign = sign
	client, err := o.API(options)
	if err != nil {
		return nil, fmt.Errorf("proxmox: server: %w", err)
	}
	r := &remote{o: o, api: client}
	if err := r.find(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (o *Options) tokenParts() (id, secret string) {
	m := tokenID.FindStringSubmatch(o.Token)
	return m[1], m[2]
}

// token is the header of an API token. Proxmox VE decodes it as a part of a URL; the
// backup server does not, and has a colon before the secret.
func (o *Options) token(r *http.Request, _ []byte) error {
	id, secret := o.tokenParts()
	if o.Product == Backup {
		r.Header.Set("Authorization", "PBSAPIToken="+id+":"+secret)
		return nil
	}
	r.Header.Set("Authorization", "PVEAPIToken="+strings.ReplaceAll(id+"="+secret, "%", "%25"))
	return nil
}

// session is a login.
type session struct {
	Ticket string `json:"ticket"`
	CSRF   string `json:"CSRFPreventionToken"`
	TFA    any    `json:"NeedTFA"`
	cookie string
}

func (s *session) sign(r *http.Request, _ []byte) error {
	r.Header.Set("Cookie", s.cookie+"="+url.QueryEscape(s.Ticket))
	if r.Method != http.MethodGet {
		r.Header.Set("CSRFPreventionToken", s.CSRF)
	}
	return nil
}

func (o *Options) login(ctx context.Context, options api.Options) (*session, error) {
	options.Secrets = []string{o.Password, url.QueryEscape(o.Password)}
	client, err := o.API(options)
	if err != nil {
		return nil, fmt.Errorf("proxmox: server: %w", err)
	}
	form := url.Values{"username": {o.User}, "password": {o.Password}}
	s := &session{cookie: "PVEAuthCookie"}
	if o.Product == Backup {
		s.cookie = "PBSAuthCookie"
	}
	if err := call(ctx, client, http.MethodPost, "/access/ticket", form, s); err != nil {
		return nil, o.explain(err, "")
	}
	if s.TFA != nil && s.TFA != false && s.TFA != 0.0 || strings.Contains(s.Ticket, ":!tfa!") {
		return nil, fmt.Errorf("proxmox: %s has a second factor, which edge cannot give; make an API token", o.User)
	}
	if s.Ticket == "" || s.CSRF == "" {
		return nil, errors.New("proxmox: the API gave no ticket; is this the right server?")
	}
	return s, nil
}

// call sends a form, or nothing, and reads the data of the answer.
func call(ctx context.Context, client *api.Client, method, path string, form url.Values, data any) error {
	r := api.Request{Method: method, Path: path, Again: true} // all that is sent may be sent twice
	if form != nil {
		r.Body, r.Type = []byte(form.Encode()), "application/x-www-form-urlencoded"
	}
	resp, err := client.Do(ctx, r)
	if err != nil || data == nil {
		return err
	}
	answer := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal(resp.Body, &answer); err != nil {
		return fmt.Errorf("%s %s: the answer is not that of this API: %w", method, path, err)
	}
	return nil
}

// member is a node in the answers of nodes and cluster/status.
type member struct {
	Node string `json:"node"`
	// Of cluster/status.
	Type, Name, IP string
	Local          int
}

// find says which node it is, and where that shows its certificate.
func (r *remote) find(ctx context.Context) error {
	at := strings.TrimPrefix(r.o.Server, "https://")
	if r.o.Product == Backup {
		r.node, r.at = "localhost", or(r.o.Address, at)
		return nil
	}
	if r.o.Node != "" && r.o.Address != "" {
		r.node, r.at = r.o.Node, r.o.Address
		return nil
	}
	var nodes []member
	if err := call(ctx, r.api, http.MethodGet, "/nodes", nil, &nodes); err != nil {
		return r.o.explain(err, "")
	}
	if len(nodes) == 1 {
		if r.o.Node != "" && r.o.Node != nodes[0].Node {
			return fmt.Errorf("proxmox: %s has no node %s but %s", at, r.o.Node, clip(nodes[0].Node))
		}
		return r.use(nodes[0].Node, or(r.o.Address, at))
	}
	return r.findInCluster(ctx, at)
}

func (r *remote) findInCluster(ctx context.Context, at string) error {
	var list []member
	if err := call(ctx, r.api, http.MethodGet, "/cluster/status", nil, &list); err != nil {
		return fmt.Errorf("%w; this is a cluster: say node and address, or give Sys.Audit on /", r.o.explain(err, ""))
	}
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		return fmt.Errorf("proxmox: %w", err)
	}
	for _, m := range list {
		switch {
		case m.Type != "node" || r.o.Node != "" && m.Name != r.o.Node || r.o.Node == "" && m.Local != 1:
		case m.Local == 1:
			return r.use(m.Name, or(r.o.Address, at))
		default:
			if net.ParseIP(m.IP) == nil && r.o.Address == "" {
				return fmt.Errorf("proxmox: the cluster does not know where node %s is; say address", clip(m.Name))
			}
			return r.use(m.Name, or(r.o.Address, net.JoinHostPort(m.IP, port)))
		}
	}
	return fmt.Errorf("proxmox: the cluster of %s has no node %q; say node", at, r.o.Node)
}

func (r *remote) use(node, at string) error {
	if !nodeName.MatchString(node) {
		return fmt.Errorf("proxmox: the API names a node %q, which is no name", clip(node))
	}
	r.node, r.at = node, at
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (r *remote) path(rest string) string { return "/nodes/" + r.node + rest }

func (r *remote) certificates(ctx context.Context) ([]certificate, error) {
	var raw json.RawMessage
	if err := call(ctx, r.api, http.MethodGet, r.path("/certificates/info"), nil, &raw); err != nil {
		return nil, r.o.explain(err, r.node)
	}
	return parseCertificates(raw)
}

func (r *remote) acme(ctx context.Context) (string, bool, error) {
	var data map[string]any
	err := call(ctx, r.api, http.MethodGet, r.path("/config"), nil, &data)
	var status *api.StatusError
	if errors.As(err, &status) && status.Status == http.StatusForbidden {
		return "", false, nil
	}
	if err != nil {
		return "", false, r.o.explain(err, r.node)
	}
	config := map[string]string{}
	for name, v := range data {
		if s, ok := v.(string); ok {
			config[name] = s
		}
	}
	return orders(config), true, nil
}

func (r *remote) set(ctx context.Context, chain, key []byte, force bool) error {
	form := url.Values{"certificates": {string(chain)}, "key": {string(key)}}
	if force {
		form.Set("force", "1")
	}
	if r.o.Restart {
		form.Set("restart", "1")
	}
	return r.o.explain(call(ctx, r.api, http.MethodPost, r.path("/certificates/custom"), form, nil), r.node)
}

func (r *remote) remove(ctx context.Context) error {
	rest := "/certificates/custom"
	q := url.Values{}
	if r.o.Restart {
		q.Set("restart", "1")
	}
	_, err := r.api.Do(ctx, api.Request{Method: http.MethodDelete, Path: r.path(rest), Query: q})
	return r.o.explain(err, r.node)
}

// explain says what to do.
func (o *Options) explain(err error, node string) error {
	if err == nil {
		return nil
	}
	do := ""
	var status *api.StatusError
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusUnauthorized:
			do = "; the token or the password is wrong or was taken back (a token is written USER@REALM!NAME=SECRET)"
		case http.StatusForbidden:
			do = fmt.Sprintf("; it needs Sys.Modify on /nodes/%s, and a token with privilege separation needs it for itself", node)
			if o.Product == Backup {
				do = "; it needs Sys.Modify on /system/certificates/manage, and a token needs it for itself"
			}
		case http.StatusNotImplemented:
			do = fmt.Sprintf("; is this %s? product says %s", o.Server, o.Product)
		case 595, 596: // from the node that passes it on
			do = "; the node " + node + " does not answer the one at " + o.Server
		}
	}
	return fmt.Errorf("proxmox: %w%s", err, do)
}
