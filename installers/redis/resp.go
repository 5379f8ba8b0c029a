package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	maxBulk   = 1 << 20 // bytes
	maxArray  = 1 << 10
	maxTalk   = 4 << 20 // bytes of all answers of a connection
	talkLimit = 10 * time.Second
)

// talk is a connection to a server (RESP, version 2).
type talk struct {
	conn net.Conn
	in   *bufio.Reader
}

func (r *Redis) dial(ctx context.Context) (*talk, error) {
	network := "tcp"
	if strings.HasPrefix(r.control, "/") {
		network = "unix"
	}
	conn, err := r.o.Dial(ctx, network, r.control)
	if err != nil {
		return nil, fmt.Errorf("%w; is it running?", err)
	}
	deadline := time.Now().Add(talkLimit)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	t := &talk{conn, bufio.NewReader(io.LimitReader(conn, maxTalk))}
	if err = conn.SetDeadline(deadline); err == nil {
		err = r.login(t)
	}
	if err != nil {
		_ = conn.Close() // the first error says more
		return nil, err
	}
	return t, nil
}

func (t *talk) close() { _ = t.conn.Close() } // every answer was read

// login says who we are, where that is wanted.
func (r *Redis) login(t *talk) error {
	if r.o.Password == nil {
		return nil
	}
	password, err := r.o.Password()
	if err != nil || password == "" {
		return err
	}
	words := []string{"AUTH", password}
	if r.o.User != "" {
		words = []string{"AUTH", r.o.User, password}
	}
	if err := t.ok(words...); err != nil {
		quoted := strings.Trim(strconv.Quote(password), `"`) // as answers are shown
		return fmt.Errorf("log in: %s; look at user and password", strings.NewReplacer(password, "[secret]", quoted, "[secret]").Replace(err.Error()))
	}
	return nil
}

// ok wants "OK" and nothing else.
func (t *talk) ok(words ...string) error {
	answer, err := t.do(words...)
	if err != nil {
		return err
	}
	if answer != "OK" {
		return fmt.Errorf("%s: the answer is %.100q, not OK", words[0], fmt.Sprint(answer))
	}
	return nil
}

// do sends a command and reads its answer: a string, an int64, nil, or a list of these.
// An answer that is an error is an error.
func (t *talk) do(words ...string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(t.conn, b.String()); err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	answer, err := read(t.in, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	if e, failed := answer.(serverError); failed {
		return nil, fmt.Errorf("%s: %w", words[0], e)
	}
	return answer, nil
}

// serverError is an answer that begins with a minus.
type serverError string

func (e serverError) Error() string { return "it says " + string(e) }

// read reads one value.
func read(in *bufio.Reader, depth int) (any, error) {
	if depth > 4 {
		return nil, errors.New("the answer is nested too deeply")
	}
	raw, err := in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	text, whole := strings.CutSuffix(string(raw), "\r\n")
	if !whole || text == "" {
		return nil, errors.New("the answer is not of Redis's protocol")
	}
	switch kind, rest := text[0], text[1:]; kind {
	case '+':
		return rest, nil
	case '-':
		return serverError(fmt.Sprintf("%.300q", rest)), nil
	case ':':
		n, err := strconv.ParseInt(rest, 10, 64)
		if err != nil {
			return nil, errors.New("the answer has a number that is none")
		}
		return n, nil
	case '$':
		return bulk(in, rest)
	case '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n > maxArray {
			return nil, fmt.Errorf("the answer is a list of %.20q", rest)
		}
		var list []any
		for range n { // none for -1
			v, err := read(in, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	return nil, fmt.Errorf("the answer begins with %q, which is not of Redis's protocol", text[0])
}

func bulk(in *bufio.Reader, length string) (any, error) {
	n, err := strconv.Atoi(length)
	switch {
	case err != nil || n < -1 || n > maxBulk:
		return nil, fmt.Errorf("the answer has %.20q bytes", length)
	case n == -1:
		return nil, nil
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if string(b[n:]) != "\r\n" {
		return nil, errors.New("the answer is not of Redis's protocol")
	}
	return string(b[:n]), nil
}

// config is CONFIG GET of one directive.
func (t *talk) config(name string) (string, error) {
	answer, err := t.do("CONFIG", "GET", name)
	if err != nil {
		return "", err
	}
	if list, ok := answer.([]any); ok && len(list) == 2 && list[0] == any(name) {
		if v, ok := list[1].(string); ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("CONFIG GET %s: it does not know that; was it built with TLS?", name)
}

// info is a field of INFO server.
func info(text, name string) string {
	for l := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimRight(l, "\r\n"), name+":"); ok {
			return v
		}
	}
	return ""
}
