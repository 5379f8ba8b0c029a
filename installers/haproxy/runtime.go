package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	commandTimeout = 10 * time.Second
	maxAnswer      = 16 << 20 // bytes; "show ssl cert" has a line for each certificate
)

// dialer is target.Env.Dial.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// cli is a stats socket, or the worker behind a master socket. A command has a connection
// of its own, whose end is that of the answer.
type cli struct {
	addr   string // a path or host:port
	master bool
	dial   dialer
}

// String is for people.
func (c *cli) String() string {
	if c.master {
		return "the master socket " + c.addr
	}
	return "the stats socket " + c.addr
}

var (
	// errNoAnswer is for what cannot be asked, errNobody for where nobody listens.
	errNoAnswer = errors.New("it does not answer")
	errNobody   = errors.New("HAProxy does not run, or has no such socket")
)

// worker sends a command to HAProxy, with a payload of lines where it is not empty.
func (c *cli) worker(ctx context.Context, command, payload string) (string, error) {
	if c.master {
		command = "@1 " + command
	}
	return c.ask(ctx, command, payload)
}

// ask sends a command as it is. The answer is without the empty line at its end.
func (c *cli) ask(ctx context.Context, command, payload string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	answer, err := c.talk(ctx, message(c.master, command, payload))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %w", c, errNoAnswer, err)
	}
	return strings.TrimRight(answer, "\n"), nil
}

// message is what is sent. The master does not close a connection by itself.
func message(master bool, command, payload string) string {
	text := command + "\n"
	if payload != "" {
		text = command + " <<\n" + strings.TrimRight(payload, "\n") + "\n\n"
	}
	if master && command != "reload" {
		text += "quit\n"
	}
	return text
}

func (c *cli) talk(ctx context.Context, text string) (string, error) {
	network := "tcp"
	if strings.HasPrefix(c.addr, "/") {
		network = "unix"
	}
	conn, err := c.dial(ctx, network, c.addr)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNobody, err)
	}
	defer conn.Close() // what was sent was answered, or is an error already
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// One that closes early, as for a payload that is too large, has nothing to say.
	if _, err := io.WriteString(conn, text); err != nil && ctx.Err() == nil {
		return "", err
	}
	raw, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", err
	case len(raw) > maxAnswer:
		return "", fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return string(raw), nil
}

// plain reports whether a name can be a word of a command: HAProxy cuts at blanks and
// semicolons, and takes a leading star for a transaction.
func plain(name string) bool {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-@+:=~,%", r)
	}
	return name != "" && len(name) < 1024 && !strings.ContainsFunc(name, odd)
}

// admin reports why commands that change something are not possible, nil where they are.
// It asks for what cannot be there, which changes nothing.
func (c *cli) admin(ctx context.Context) error {
	const nothing = "/nothing/of/this/name"
	answer, err := c.worker(ctx, "abort ssl cert "+nothing, "")
	switch {
	case err != nil:
		return err
	case answer == "No ongoing transaction!", strings.HasPrefix(answer, "The ongoing transaction is about '"):
		return nil
	case answer == "Permission denied":
		return fmt.Errorf("%s may not change anything: write \"level admin\" on its line in haproxy.cfg", c)
	}
	return unexpected("abort ssl cert", answer)
}

func (c *cli) info(ctx context.Context) (info, error) {
	answer, err := c.worker(ctx, "show info", "")
	if err != nil {
		return info{}, err
	}
	return parseInfo(answer)
}

func (c *cli) certs(ctx context.Context) (certs, error) {
	answer, err := c.worker(ctx, "show ssl cert", "")
	if err != nil {
		return certs{}, err
	}
	return parseCerts(answer)
}

// want sends a command whose answer has to be one of these.
func (c *cli) want(ctx context.Context, command, payload string, answers ...string) error {
	answer, err := c.worker(ctx, command, payload)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if answer == a {
			return nil
		}
	}
	return unexpected(command, answer)
}

// set puts a PEM in the place of a certificate that HAProxy has. On failure, it goes on
// with the one that it had.
func (c *cli) set(ctx context.Context, name, pem string) error {
	command := "set ssl cert " + name
	answer, err := c.worker(ctx, command, pem)
	if err == nil && answer != "Transaction created for certificate "+name+"!" {
		err = unexpected(command, answer)
		// HAProxy 2.6 puts it into the transaction that is open, of whatever certificate: it
		// must not be committed there.
		if other, ok := strings.CutPrefix(answer, "Transaction updated for certificate "); ok {
			name = strings.TrimSuffix(other, "!")
		}
	}
	if err == nil {
		err = c.progress(ctx, "commit ssl cert "+name, "", "Committing "+name)
	}
	if err != nil && plain(name) {
		err = errors.Join(err, c.abort(ctx, name))
	}
	return err
}

// progress sends a command whose answer has a dot for every few places where something
// is changed, between these words and its success.
func (c *cli) progress(ctx context.Context, command, payload, words string) error {
	answer, err := c.worker(ctx, command, payload)
	if err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(answer, words)
	dots, done := strings.CutSuffix(rest, "\nSuccess!")
	if !ok || !done || strings.Trim(dots, ".") != "" {
		return unexpected(command, answer)
	}
	return nil
}

// abort gives a transaction up, with whatever state it is in.
func (c *cli) abort(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	return c.want(ctx, "abort ssl cert "+name, "", "Transaction aborted for certificate '"+name+"'!", "No ongoing transaction!")
}

// add has HAProxy load a certificate that it does not have yet; a list has to show it.
func (c *cli) add(ctx context.Context, name, pem string) error {
	if err := c.want(ctx, "new ssl cert "+name, "", "New empty certificate store '"+name+"'!"); err != nil {
		return err
	}
	if err := c.set(ctx, name, pem); err != nil {
		return errors.Join(err, c.delete(context.WithoutCancel(ctx), name))
	}
	return nil
}

func (c *cli) delete(ctx context.Context, name string) error {
	return c.want(ctx, "del ssl cert "+name, "", "Certificate '"+name+"' deleted!")
}

// lists are the folders and crt-lists that HAProxy has.
func (c *cli) lists(ctx context.Context) ([]string, error) {
	answer, err := c.worker(ctx, "show ssl crt-list", "")
	if err != nil {
		return nil, err
	}
	return parseLists(answer)
}

// listed reports whether a folder or a crt-list has a certificate.
func (c *cli) listed(ctx context.Context, list, name string) (bool, error) {
	answer, err := c.worker(ctx, "show ssl crt-list "+list, "")
	if err != nil {
		return false, err
	}
	return inCrtList(answer, list, name)
}

// list adds a line to a folder or a crt-list in memory.
func (c *cli) list(ctx context.Context, list, name, line string) error {
	return c.progress(ctx, "add ssl crt-list "+list, line, "Inserting certificate '"+name+"' in crt-list '"+list+"'")
}

func (c *cli) unlist(ctx context.Context, list, name string) error {
	return c.want(ctx, "del ssl crt-list "+list+" "+name, "", "Entry '"+name+"' deleted in crtlist '"+list+"'!")
}
