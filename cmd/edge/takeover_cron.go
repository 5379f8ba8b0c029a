package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"edge/internal/display"
	"edge/internal/durable"
)

// mark stands before the jobs that were commented out. Cron sees a comment.
const mark = "#edge takeover: "

// maxCron bounds what is read of a file, in bytes.
const maxCron = 1 << 20

// cronFile is a file of cron jobs.
type cronFile struct {
	data string
	attr durable.Attr
	jobs int // that cron would run
}

// cron reads certbot's cron job, nil where there is none.
func (t *takeover) cron() (*cronFile, error) {
	path := t.path(cronJob)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("takeover certbot: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("takeover certbot: %s is no plain file; comment out its job yourself, where it comes from", cronJob)
	}
	data, err := readCron(path)
	if err != nil {
		return nil, fmt.Errorf("takeover certbot: %w", err)
	}
	st := info.Sys().(*syscall.Stat_t)
	c := &cronFile{data: string(data), attr: durable.Attr{Mode: info.Mode().Perm(), Owner: &durable.Owner{UID: int(st.Uid), GID: int(st.Gid)}}}
	for line := range strings.Lines(c.data) {
		if isJob(line) {
			c.jobs++
		}
	}
	return c, nil
}

func readCron(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCron+1))
	if err == nil && len(data) > maxCron {
		err = fmt.Errorf("read %s: it is longer than %d bytes", path, maxCron)
	}
	return data, err
}

var environment = regexp.MustCompile(`^\s*["']?[A-Za-z_][A-Za-z0-9_]*["']?\s*=`)

// isJob is true for a line of a cron table that runs something.
func isJob(line string) bool {
	line = strings.TrimSpace(line)
	return line != "" && !strings.HasPrefix(line, "#") && !environment.MatchString(line)
}

// commentOut and commentIn are each other's reverse, byte for byte. What else was
// changed in the file in between stays.
func commentOut(data string) string {
	var b strings.Builder
	for line := range strings.Lines(data) {
		if isJob(line) {
			b.WriteString(mark)
		}
		b.WriteString(line)
	}
	return b.String()
}

func commentIn(data string) string {
	var b strings.Builder
	for line := range strings.Lines(data) {
		b.WriteString(strings.TrimPrefix(line, mark))
	}
	return b.String()
}

// write gives the cron job another text. Cron takes it up by itself.
func (t *takeover) write(c *cronFile, data string) error {
	if t.dry {
		t.say("would change %s", cronJob)
		return nil
	}
	if err := t.files.WriteFileAs(t.path(cronJob), []byte(data), c.attr); err != nil {
		return fmt.Errorf("takeover certbot: %w", err)
	}
	return nil
}

// others finds jobs that run certbot renew elsewhere, as FILE:LINE: TEXT. They are
// somebody's own.
func (t *takeover) others() (places []string) {
	for _, pattern := range []string{"/etc/crontab", "/etc/cron.d/*", "/etc/cron.hourly/*", "/etc/cron.daily/*", "/etc/cron.weekly/*", "/var/spool/cron/crontabs/*", "/var/spool/cron/root"} {
		paths, _ := filepath.Glob(t.path(pattern)) // the patterns are fine
		for _, path := range paths {
			name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, t.root), "/")
			if info, err := os.Stat(path); name == cronJob || err != nil || !info.Mode().IsRegular() {
				continue
			}
			data, err := readCron(path)
			if err != nil {
				continue // who cannot read it is told of nothing in it
			}
			lines := bufio.NewScanner(bytes.NewReader(data))
			lines.Buffer(nil, maxCron+1)
			for n := 1; lines.Scan(); n++ {
				if line := lines.Text(); isJob(line) && strings.Contains(line, "certbot") && strings.Contains(line, "renew") {
					places = append(places, fmt.Sprintf("%s:%d: %s", display.CleanLine(name), n, display.CleanLine(strings.TrimSpace(line))))
				}
			}
		}
	}
	return places
}
