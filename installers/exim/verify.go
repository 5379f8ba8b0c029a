package exim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"edge/installers/pemfile"
)

// planned is what Test and Activate have to know of a plan. It counts while the files are
// as planned: an undo, or a recovery, is for others.
type planned struct {
	files map[string][]byte
	names []string // that have to lead to the PEM file
	want  pair     // the two options
	all   bool     // other names lead there as well
	same  bool     // the configuration was in force before, and could be
}

func (p *planned) counts() bool {
	if p == nil {
		return false
	}
	for path, want := range p.files {
		if got, err := pemfile.Read(path); err != nil || !bytes.Equal(got, want) {
			return false
		}
	}
	return true
}

// Commands implements installers.Server.
func (x *Exim) Commands() (test, activate []string) {
	program, err := x.program()
	if err != nil {
		program = "exim"
	}
	test, activate = []string{program, "-bV"}, []string{"systemctl", "start", "exim4"}
	if x.pid != 0 {
		activate = []string{"kill", "-HUP", strconv.Itoa(x.pid)}
	}
	if x.o.Config != "" {
		test = []string{program, "-C", x.o.Config, "-bV"}
	}
	if x.debian {
		test = x.o.Update
	}
	if len(x.o.Reload) > 0 {
		activate = x.o.Reload
	}
	return test, activate
}

// Test implements installers.Server: Debian's file is made, Exim can read it, and what it
// looks up for each name is the PEM file.
func (x *Exim) Test(ctx context.Context) error {
	counts := x.planned.counts()
	if !counts || !x.planned.same { // else, what others have not put in force yet is theirs
		if err := x.make(ctx); err != nil {
			return err
		}
	}
	if _, err := x.exim(ctx, "-bV"); err != nil {
		return err
	}
	if !counts {
		return nil
	}
	v, err := x.ask(ctx, "tls_certificate", "tls_privatekey")
	if err != nil {
		return err
	}
	if now := (pair{v["tls_certificate"], v["tls_privatekey"]}); now != x.planned.want {
		return fmt.Errorf("Exim says tls_certificate = %s, and not what edge wrote: another file counts more, or a macro has its name in it", clip(now.cert))
	}
	return x.expand(ctx)
}

// make makes the configuration of Debian's files.
func (x *Exim) make(ctx context.Context) error {
	config := x.o.Config
	if config == "" {
		out, err := x.exim(ctx, "-bP", "configure_file")
		if err != nil {
			return err
		}
		config = strings.TrimSpace(out)
	}
	if x.macros(config) == "" {
		return nil
	}
	_, err := x.o.Run(ctx, x.o.Update)
	return err
}

// expand has Exim look up the names of a plan.
func (x *Exim) expand(ctx context.Context) error {
	names := x.planned.names
	if x.planned.all {
		names = append([]string{""}, names...)
	}
	argv := []string{"-be"}
	for _, n := range names {
		for _, value := range []string{x.planned.want.cert, x.planned.want.key} {
			argv = append(argv, strings.ReplaceAll(value, "$tls_in_sni", asked(n)))
		}
	}
	out, err := x.exim(ctx, argv...)
	if err != nil {
		return err
	}
	got := strings.Split(out, "\n")
	if len(got) != len(argv)-1 {
		return fmt.Errorf("exim -be printed %d lines, want %d: %s", len(got), len(argv)-1, clip(out))
	}
	for i, g := range got {
		if strings.TrimSpace(g) != x.pem() {
			return fmt.Errorf("for the name %q, Exim says %s and not %s", names[i/2], clip(g), x.pem())
		}
	}
	return nil
}

// Activate implements installers.Server. The daemon starts itself anew for a changed
// configuration; certificates are read for each connection.
func (x *Exim) Activate(ctx context.Context) error {
	if x.planned.counts() && x.planned.same {
		return nil
	}
	if len(x.o.Reload) > 0 {
		_, err := x.o.Run(ctx, x.o.Reload)
		return err
	}
	v, err := x.ask(ctx, "pid_file_path", "spool_directory", "exim_path")
	if err != nil {
		return err
	}
	pid, err := x.daemon(v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it reads all when it starts
	}
	if err != nil {
		return err
	}
	return x.o.Signal(pid, syscall.SIGHUP)
}
