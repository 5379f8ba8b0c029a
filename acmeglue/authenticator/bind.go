package authenticator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"edge/internal/portholder"
)

// BindError says that a port could not be had, in certbot's words.
type BindError struct {
	Port   int
	Holder string // who has it, "nginx (pid 812)"; empty where nobody can be seen
	Err    error
}

func (e *BindError) Error() string {
	switch {
	case errors.Is(e.Err, syscall.EACCES), errors.Is(e.Err, syscall.EPERM):
		return fmt.Sprintf("Could not bind TCP port %d because you don't have the appropriate permissions (for example, you aren't running this program as root).", e.Port)
	case errors.Is(e.Err, syscall.EADDRINUSE):
		text := fmt.Sprintf("Could not bind TCP port %d because it is already in use by another process on this system (such as a web server). "+
			"Please stop the program in question and then try again.", e.Port)
		if e.Holder != "" {
			text += fmt.Sprintf(" It is held by %s.", e.Holder)
		}
		return text
	}
	return fmt.Sprintf("Problem binding to port %d: %v", e.Port, e.Err)
}

// Unwrap returns the cause.
func (e *BindError) Unwrap() error { return e.Err }

// bind listens on IPv6 and IPv4; one of them is enough (certbot:
// acme/standalone.py, BaseDualNetworkedServers). An IPv6 socket for all addresses
// takes IPv4 connections as well. That matters where a web server has the port on
// IPv4 only: a socket for IPv6 alone could be had there, and a CA that comes by
// IPv4 would find the web server.
func bind(at Listen) ([]net.Listener, error) {
	port := strconv.Itoa(at.Port)
	host := strings.TrimSuffix(strings.TrimPrefix(at.Address, "["), "]")
	networks := []string{"tcp6", "tcp4"}
	if host == "" || host == "::" {
		networks[0], host = "tcp", ""
	}
	var listeners []net.Listener
	var last error
	for _, network := range networks {
		l, err := net.Listen(network, net.JoinHostPort(host, port))
		if err != nil {
			// An address of the other family says nothing.
			var wrong *net.AddrError
			if last == nil || !errors.As(err, &wrong) {
				last = err
			}
			continue
		}
		listeners = append(listeners, l)
		if network == "tcp" {
			break
		}
	}
	if len(listeners) > 0 {
		return listeners, nil
	}
	e := &BindError{Port: at.Port, Err: last}
	if errors.Is(last, syscall.EADDRINUSE) {
		e.Holder = portholder.Text(at.Port)
	}
	return nil, e
}

// isRun reports whether the port is held by a run of an ACME client, which ends
// soon: one of edge's, or a standalone server that says so on its first page, as
// certbot's does.
func isRun(ctx context.Context, key serverKey) bool {
	own, err := os.Executable()
	for _, p := range portholder.Of(key.Port) {
		dir := fmt.Sprintf("/proc/%d", p.PID)
		exe, lerr := os.Readlink(dir + "/exe")
		args, _ := os.ReadFile(dir + "/cmdline")
		words := strings.Split(string(args), "\x00")
		if err == nil && lerr == nil && exe == own && !slices.Contains(words, "serve") {
			return true
		}
	}
	return !key.tls && isSolver(ctx, key.Listen)
}

func isSolver(ctx context.Context, at Listen) bool {
	host := at.Address
	if host == "" || host == "::" || host == "0.0.0.0" {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(at.Port))+"/", nil)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	return err == nil && string(text) == indexText
}
