package external

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"edge"
	"edge/installers"
)

// trusted refuses a script that others than root, and who runs this, could have written
// or exchanged.
func trusted(path string) error {
	bad := func(why, do string) error { return fmt.Errorf("external: script %s: %s; %s", path, why, do) }
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return bad(err.Error(), "write it, or say where it is with handler")
	case !info.Mode().IsRegular():
		return bad("it is no file ("+info.Mode().Type().String()+")", "say where it is with handler")
	case info.Mode()&0o111 == 0:
		return bad("it cannot be executed", "chmod 0755 "+path)
	}
	if err := onlyOurs(path); err != nil {
		return bad(err.Error(), "whoever can write there could have it do anything")
	}
	return nil
}

const maxLinks = 40

// onlyOurs walks to a path from the root, along links, and looks whose each step is. What
// only root can write does not change meanwhile.
func onlyOurs(path string) error {
	at, rest, links := "/", strings.Split(path, "/"), 0
	for {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		if err := ours(at, info); err != nil {
			return err
		}
		if info.Mode().Type() == fs.ModeSymlink {
			if links++; links > maxLinks {
				return fmt.Errorf("%s: too many symbolic links", path)
			}
			to, err := os.Readlink(at)
			if err != nil {
				return err
			}
			rest = append(strings.Split(to, "/"), rest...)
			if at = filepath.Dir(at); filepath.IsAbs(to) {
				at = "/"
			}
		}
		if len(rest) == 0 {
			return nil
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

func ours(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return fmt.Errorf("whose %s is cannot be seen", path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d", path, st.Uid)
	case info.Mode().Type() == fs.ModeSymlink: // its mode says nothing
		return nil
	case info.Mode().Perm()&0o022 != 0 && (!info.IsDir() || info.Mode()&fs.ModeSticky == 0):
		return fmt.Errorf("%s can be written by others (mode %#o)", path, info.Mode().Perm())
	}
	return nil
}

// notImplemented is what a script says of a command that it does not know, and fails.
const notImplemented = "NotImplemented"

// call runs the script once. Optional: it need not know the command.
func (a *Authenticator) call(ctx context.Context, command string, env []string, optional bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, a.o.Timeout, fmt.Errorf("it took longer than %v", a.o.Timeout))
	defer cancel()
	said, err := a.o.Exec(ctx, installers.Program{Argv: []string{a.o.Handler, command}, Env: append(os.Environ(), env...), Stdin: a.o.Stdin})
	if said.Stderr != "" {
		a.o.Log.Info("the script said: "+said.Stderr, "component", "external", "command", command)
	}
	switch {
	case err != nil:
		return fmt.Errorf("external: %w", err)
	case said.Code == 0:
		if said.Stdout != "" {
			a.o.Log.Info("the script wrote: "+said.Stdout, "component", "external", "command", command)
		}
		return nil
	case said.Stdout == notImplemented && optional:
		a.o.Log.Debug("the script does not know the command", "component", "external", "command", command)
		return nil
	case said.Stdout == notImplemented:
		return fmt.Errorf("external: script %s does not know the command %s, and has to", a.o.Handler, command)
	}
	return fmt.Errorf("external: %s %s: exit code %d: %s", a.o.Handler, command, said.Code, lastLine(said.Stderr, said.Stdout))
}

// lastLine is the last thing that a script said, for people.
func lastLine(texts ...string) string {
	for _, text := range texts {
		if text == "" {
			continue
		}
		line := text[strings.LastIndexByte(text, '\n')+1:]
		if len(line) > 300 {
			line = strings.ToValidUTF8(line[:300], "") + "..."
		}
		return line
	}
	return "it said nothing"
}

// performEnv is what the script is told of a challenge: for TLS-SNI-01 what marcan's
// plugin did, for the others what certbot-external-auth told beyond.
func performEnv(one edge.Answer, files files, port int) []string {
	env := []string{"domain=" + domain(one)}
	if files.cert != "" {
		env = append(env, "z_domain="+files.name, "cert_path="+files.cert, "key_path="+files.key, "port="+strconv.Itoa(port))
	}
	if one.Type == edge.TLSSNI01 {
		return env
	}
	return append(env, details(one, "perform")...)
}

// domain is what a CA names in an authorization: of a wildcard, the name behind it (RFC
// 8555 section 7.1.4).
func domain(one edge.Answer) string { return strings.TrimPrefix(one.Identifier.Value, "*.") }

// cleanupEnv is the domain alone for TLS-SNI-01.
func cleanupEnv(one edge.Answer) []string {
	env := []string{"domain=" + domain(one)}
	if one.Type == edge.TLSSNI01 {
		return env
	}
	return append(env, details(one, "cleanup")...)
}

// details are the variables of certbot-external-auth, and all of them as JSON. What came
// of the validation is not known when the answers go: status and error are empty.
func details(one edge.Answer, command string) []string {
	more := map[string]string{
		"type": string(one.Type), "token": one.Token, "key_auth": one.KeyAuth, "validation": one.KeyAuth, "uri": "", "status": "", "error": "",
	}
	switch one.Type {
	case edge.HTTP01:
		host := one.Identifier.Value
		if one.Identifier.Type == edge.IP && strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		more["uri"] = "http://" + host + edge.HTTP01Prefix + one.Token
	case edge.DNS01:
		more["validation"] = edge.DNS01Value(one.KeyAuth)
		more["txt_domain"] = "_acme-challenge." + domain(one)
	}
	var env []string
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	more["cmd"], more["domain"] = command, domain(one)
	raw, err := json.Marshal(more)
	if err != nil {
		raw = nil // a map of strings has no such error
	}
	return append(env, "cbot_json="+string(raw))
}
