package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"edge/internal/durable"
)

// Options are how another machine is reached.
type Options struct {
	Host, User       string
	Port             int // zero: 22
	Key, KeyPassword string
	Password         string
	KnownHosts       string // path; empty: ssh's usual files
	HostKey          string // "SHA256:..." or "TYPE BASE64", in place of a file
	Home             string // where .ssh is
	Timeout          time.Duration
	Dial             func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer's
	Before           func(step durable.Step, path string) error                        // as in durable.Writer
}

// machine is another machine. Safe for concurrent use.
type machine struct {
	o     Options
	auth  []ssh.AuthMethod
	hosts hostKeys
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func newMachine(o Options) (*machine, error) {
	bad := func(format string, args ...any) (*machine, error) {
		return nil, fmt.Errorf("sftp: "+format, args...)
	}
	o.Port, o.Timeout = cmp.Or(o.Port, 22), cmp.Or(o.Timeout, 30*time.Second)
	switch {
	case !hostName.MatchString(o.Host) && !isAddress(o.Host):
		return bad("%q is no name or address of a machine", o.Host)
	case o.User == "" || strings.ContainsFunc(o.User, control):
		return bad("user: %q", o.User)
	case o.Port > 65535:
		return bad("port %d", o.Port)
	case o.Key == "" && o.Password == "":
		return bad("neither a key nor a password is named; write key: file:PATH")
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Before == nil {
		o.Before = func(durable.Step, string) error { return nil }
	}
	m := &machine{o: o}
	if o.Key != "" {
		signer, err := privateKey(o.Key, o.KeyPassword)
		if err != nil {
			return bad("key: %w", err)
		}
		m.auth = append(m.auth, ssh.PublicKeys(signer))
	}
	if o.Password != "" {
		m.auth = append(m.auth, ssh.Password(o.Password), ssh.KeyboardInteractive(m.interactive))
	}
	var err error
	m.hosts, err = newHostKeys(o)
	return m, err
}

// privateKey reads a key. Of what is wrong with it, nothing is quoted.
func privateKey(pem, password string) (ssh.Signer, error) {
	if password != "" {
		signer, err := ssh.ParsePrivateKeyWithPassphrase([]byte(pem), []byte(password))
		if err != nil {
			return nil, errors.New("it cannot be read with key_password")
		}
		return signer, nil
	}
	signer, err := ssh.ParsePrivateKey([]byte(pem))
	var encrypted *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &encrypted):
		return nil, errors.New("it is encrypted; write key_password: file:PATH")
	case err != nil:
		return nil, errors.New("it is no private key in PEM form, or of a kind that is not known")
	}
	return signer, nil
}

// interactive answers the one question that is asked for a password.
func (m *machine) interactive(_, _ string, questions []string, echos []bool) ([]string, error) {
	switch {
	case len(questions) == 0:
		return nil, nil
	case len(questions) == 1 && !echos[0]:
		return []string{m.o.Password}, nil
	}
	return nil, errors.New("it asks for something else than a password")
}

func (m *machine) addr() string { return net.JoinHostPort(m.o.Host, strconv.Itoa(m.o.Port)) }

func (m *machine) where() string { return m.o.User + "@" + m.addr() }

// remote is a connection.
type remote struct {
	m     *machine
	conn  net.Conn
	ssh   *ssh.Client
	files *sftp.Client
	stop  func() bool // closing at the end of a context
}

// until has the connection end with another context than before.
func (r *remote) until(ctx context.Context) {
	r.stop()
	r.stop = context.AfterFunc(ctx, func() { _ = r.conn.Close() })
}

// login tries one kind of host key after the other.
func (m *machine) login(ctx context.Context) (*remote, error) {
	var last error
	for _, algorithms := range m.hosts.algorithms(m.addr()) {
		r, err := m.try(ctx, algorithms)
		if err == nil {
			return r, nil
		}
		if last == nil || !notOffered(err) {
			last = err
		}
		var other *otherKeyError
		if !errors.As(err, &other) && !notOffered(err) {
			break
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		last = cause
	}
	return nil, fmt.Errorf("sftp %s: %w", m.where(), last)
}

func (m *machine) try(ctx context.Context, algorithms []string) (*remote, error) {
	conn, err := m.o.Dial(ctx, "tcp", m.addr())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	config := &ssh.ClientConfig{User: m.o.User, Auth: m.auth, HostKeyCallback: m.hosts.check, HostKeyAlgorithms: algorithms, ClientVersion: "SSH-2.0-edge"}
	c, channels, requests, err := ssh.NewClientConn(conn, m.addr(), config)
	if err != nil {
		stop()
		_ = conn.Close() // the first error says more
		return nil, err
	}
	return &remote{m: m, conn: conn, ssh: ssh.NewClient(c, channels, requests), stop: stop}, nil
}

// notOffered reports that the machine has no host key of the kinds that were asked for.
func notOffered(err error) bool {
	var negotiation *ssh.AlgorithmNegotiationError
	return errors.As(err, &negotiation)
}

// open logs in and begins with SFTP. The connection ends with ctx.
func (m *machine) open(ctx context.Context) (*remote, error) {
	r, err := m.login(ctx)
	if err != nil {
		return nil, err
	}
	if r.files, err = sftp.NewClient(r.ssh); err != nil {
		r.close()
		return nil, fmt.Errorf("sftp %s: it has no SFTP for this user: %w", m.where(), err)
	}
	return r, nil
}

// close ends the connection. All that was asked for was answered by then; the connection
// goes first, since the end of SFTP would wait for the other side.
func (r *remote) close() {
	_ = r.ssh.Close()
	_ = r.conn.Close()
	if r.files != nil {
		_ = r.files.Close()
	}
}

// within gives what is done over one connection its time.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("it took longer than %v", d))
}
