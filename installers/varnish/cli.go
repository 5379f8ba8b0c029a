package varnish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// The codes of varnish-cli(7) that matter here.
const (
	statusTruncated = 201
	statusOK        = 200
	statusAuth      = 107
	statusUnknown   = 101
)

const (
	headerSize = 13      // "%-3d %-8d\n"
	maxAnswer  = 8 << 20 // bytes
	challenge  = 32      // bytes of the first line of a greeting
)

// answer is what Varnish says to a command.
type answer struct {
	status int
	body   string
}

// readAnswer reads one answer.
func readAnswer(r io.Reader) (answer, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return answer{}, fmt.Errorf("the answer ended early: %w", err)
	}
	status, serr := strconv.ParseUint(string(head[:3]), 10, 16)
	size, lerr := strconv.ParseUint(strings.TrimRight(string(head[4:12]), " "), 10, 32)
	if serr != nil || lerr != nil || status < 100 || head[3] != ' ' || head[12] != '\n' {
		return answer{}, fmt.Errorf("%q is no answer of Varnish", head)
	}
	if size > maxAnswer {
		return answer{}, fmt.Errorf("an answer of %d bytes, at most %d are taken", size, maxAnswer)
	}
	body := make([]byte, size+1)
	if _, err := io.ReadFull(r, body); err != nil {
		return answer{}, fmt.Errorf("the answer ended early: %w", err)
	}
	if body[size] != '\n' {
		return answer{}, errors.New("the answer is longer than it says")
	}
	return answer{int(status), string(body[:size])}, nil
}

// cli is a connection to the CLI of one node.
type cli struct {
	conn    net.Conn
	addr    string
	timeout time.Duration
}

// connect connects and authenticates.
func (n *node) connect(ctx context.Context) (*cli, error) {
	network, address := "tcp", n.addr
	if path, ok := strings.CutPrefix(n.addr, "unix:"); ok {
		network, address = "unix", path
	}
	dctx, cancel := context.WithTimeout(ctx, n.o.Timeout)
	defer cancel()
	conn, err := n.o.Dial(dctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("varnish at %s: %w", n.addr, err)
	}
	c := &cli{conn, n.addr, n.o.Timeout}
	if err := c.login(ctx, n.secret); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cli) close() { _ = c.conn.Close() } // each command was answered

func (c *cli) login(ctx context.Context, secret string) error {
	hello, err := c.exchange(ctx, "")
	if err != nil || hello.status == statusOK {
		return err
	}
	if hello.status != statusAuth || len(hello.body) <= challenge || hello.body[challenge] != '\n' {
		return c.refused("greeting", hello)
	}
	if secret == "" {
		return fmt.Errorf("varnish at %s wants a secret: set secret_file", c.addr)
	}
	raw, err := readSecret(secret)
	if err != nil {
		return fmt.Errorf("varnish at %s: secret_file: %w", c.addr, err)
	}
	first := hello.body[:challenge] + "\n"
	sum := sha256.New()
	_, _ = io.WriteString(sum, first) // a hash takes everything
	_, _ = sum.Write(raw)
	_, _ = io.WriteString(sum, first)
	is, err := c.exchange(ctx, "auth "+hex.EncodeToString(sum.Sum(nil))+"\n")
	switch {
	case err != nil:
		return err
	case is.status != statusOK:
		return fmt.Errorf("varnish at %s refuses the secret in %s: it is not that of its option -S", c.addr, secret)
	}
	return nil
}

// exchange sends something, where it is not empty, and reads an answer.
func (c *cli) exchange(ctx context.Context, command string) (answer, error) {
	bad := func(err error) (answer, error) {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return answer{}, fmt.Errorf("varnish at %s: %w", c.addr, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) }) // the error is that of ctx
	defer stop()
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return bad(err)
	}
	if ctx.Err() != nil {
		return bad(ctx.Err())
	}
	if command != "" {
		if _, err := io.WriteString(c.conn, command); err != nil {
			return bad(err)
		}
	}
	is, err := readAnswer(c.conn)
	if err != nil {
		return bad(err)
	}
	return is, nil
}

// ask sends a command of words that need no quotes, and wants it to succeed. Half an
// answer is none.
func (c *cli) ask(ctx context.Context, words ...string) (string, error) {
	command := strings.Join(words, " ")
	is, err := c.exchange(ctx, command+"\n")
	if err != nil {
		return "", err
	}
	if is.status != statusOK {
		return "", c.refused(command, is)
	}
	return is.body, nil
}

// inline loads a VCL under a name. Its end is a line that cannot be in it.
func (c *cli) inline(ctx context.Context, name, vcl string) error {
	end := "EDGE_END"
	for strings.Contains(vcl, end) {
		end += "_"
	}
	is, err := c.exchange(ctx, "vcl.inline "+name+" << "+end+"\n"+vcl+"\n"+end+"\n")
	if err == nil && is.status != statusOK {
		err = c.refused("vcl.inline "+name, is)
	}
	return err
}

// refusal is an answer that is no success.
type refusal struct {
	says   string
	status int
}

func (r *refusal) Error() string { return r.says }

func (c *cli) refused(command string, is answer) error {
	says := fmt.Sprintf("varnish at %s: %s: %d %s", c.addr, command, is.status, clip(is.body))
	if is.status == statusTruncated {
		says = fmt.Sprintf("varnish at %s: %s: the answer is longer than cli_limit and was cut off; run: varnishadm param.set cli_limit 4m", c.addr, command)
	}
	return &refusal{says, is.status}
}

// clip bounds and flattens what is quoted of somebody else's text.
func clip(s string) string {
	const most = 500
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
