package sftp

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"

	"edge/internal/durable"
)

// Steps of what is done on another machine, beside those of durable.
const stepCommand durable.Step = "command"

// maxFile bounds a file that is read, in bytes.
const maxFile = 1 << 20

// file is what there is of a file on another machine; nil: nothing.
type file struct {
	data []byte
	mode fs.FileMode
	uid  uint32
	gid  uint32
}

// private is a folder that nobody else can look into, in which a file is until it is
// whole: a file that is made there has the mode that the other machine's umask gives it, and
// who opens it before it gets another one could read the key later. The name is always the
// same, so that what a run which was killed left is in the way of the next, which removes it.
func private(at string) string { return path.Join(path.Dir(at), "."+path.Base(at)+".edge") }

// temp is the name that a file has until then.
func temp(at string) string { return path.Join(private(at), "new") }

// read returns nil where there is no such file.
func (r *remote) read(at string) (*file, error) {
	info, err := r.files.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := r.files.Stat(path.Dir(at)); err != nil {
			return nil, fmt.Errorf("folder %s: %w", path.Dir(at), err)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file (%s); name the file itself", at, info.Mode().Type())
	}
	f := &file{mode: info.Mode().Perm()}
	if st, ok := info.Sys().(*sftp.FileStat); ok {
		f.uid, f.gid = st.UID, st.GID
	}
	in, err := r.files.Open(at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	defer in.Close() // read-only
	if f.data, err = io.ReadAll(io.LimitReader(in, maxFile+1)); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if len(f.data) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes, which no certificate has", at, maxFile)
	}
	return f, nil
}

// stage writes a file under its temporary name. Nobody else can read it until it has its
// mode, which is after it has its owner.
func (r *remote) stage(at string, f, old *file) (err error) {
	tmp := temp(at)
	if err := r.clear(at); err != nil {
		return err
	}
	if err := r.m.o.Before(durable.Create, at); err != nil {
		return err
	}
	if err := r.files.Mkdir(private(at)); err != nil {
		return fmt.Errorf("%s: %w", private(at), err)
	}
	if err := r.files.Chmod(private(at), 0o700); err != nil {
		return fmt.Errorf("%s: %w", private(at), err)
	}
	out, err := r.files.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("%s: %w", tmp, err)
	}
	defer func() {
		if err != nil {
			_ = out.Close()
			_ = r.files.Remove(tmp) // the first error says more
			_ = r.files.RemoveDirectory(private(at))
			err = fmt.Errorf("%s: %w", tmp, err)
		}
	}()
	if err := out.Chmod(0o600); err != nil {
		return err
	}
	if err := r.m.o.Before(durable.Write, at); err != nil {
		return err
	}
	if _, err := io.Copy(out, bytes.NewReader(f.data)); err != nil {
		return err
	}
	if err := r.own(out, old); err != nil {
		return err
	}
	if err := out.Chmod(f.mode); err != nil {
		return err
	}
	if _, ok := r.files.HasExtension("fsync@openssh.com"); ok {
		if err := out.Sync(); err != nil {
			return err
		}
	}
	return out.Close()
}

// own gives a file that is written the owner of the one that it replaces.
func (r *remote) own(out *sftp.File, old *file) error {
	if old == nil {
		return nil
	}
	info, err := out.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*sftp.FileStat); !ok || st.UID == old.uid && st.GID == old.gid {
		return nil
	}
	if err := out.Chown(int(old.uid), int(old.gid)); err != nil {
		return fmt.Errorf("the file belongs to %d:%d, and this user cannot give it to them (%w); remove it, or be root there", old.uid, old.gid, err)
	}
	return nil
}

// replace gives a staged file its name, in one step.
func (r *remote) replace(at string) error {
	if err := r.m.o.Before(durable.Rename, at); err != nil {
		return err
	}
	if err := r.files.PosixRename(temp(at), at); err != nil {
		return fmt.Errorf("rename %s to %s: %w", temp(at), at, err)
	}
	_ = r.files.RemoveDirectory(private(at)) // it is empty; else the next run does it
	return nil
}

// clear removes what is there under the temporary name of a file.
func (r *remote) clear(at string) error {
	info, err := r.files.Lstat(private(at))
	if errors.Is(err, fs.ErrNotExist) {
		return r.m.o.Before(durable.Unlink, at)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", private(at), err)
	}
	if !info.IsDir() {
		return r.remove(private(at), at)
	}
	if err := r.remove(temp(at), at); err != nil {
		return err
	}
	if err := r.files.RemoveDirectory(private(at)); err != nil {
		return fmt.Errorf("remove %s: %w", private(at), err)
	}
	return nil
}

// remove removes a file for the sake of another; one that is not there is no error.
func (r *remote) remove(which, at string) error {
	if err := r.m.o.Before(durable.Unlink, at); err != nil {
		return err
	}
	if err := r.files.Remove(which); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", which, err)
	}
	return nil
}

// commandError is that the command failed: what was to be changed was.
type commandError struct{ err error }

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }

// run runs a command line in the shell there.
func (r *remote) run(line string) error {
	if err := r.m.o.Before(stepCommand, line); err != nil {
		return err
	}
	s, err := r.ssh.NewSession()
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	defer s.Close() // it has ended, or never will
	var out, errs bounded
	s.Stdout, s.Stderr = &out, &errs
	if err := s.Run(line); err != nil {
		return &commandError{fmt.Errorf("command %s: %w%s", line, err, cmp.Or(r.m.said(errs.text), r.m.said(out.text)))}
	}
	return r.m.o.Before(stepCommand, line)
}

// said is the end of what a command said, for people.
func (m *machine) said(text []byte) string {
	line := strings.TrimSpace(strings.ToValidUTF8(string(text), "\uFFFD"))
	line = line[strings.LastIndexByte(line, '\n')+1:]
	if m.o.Password != "" {
		line = strings.ReplaceAll(line, m.o.Password, "[secret]")
	}
	if len(line) > 300 {
		line = strings.ToValidUTF8(line[:300], "") + "..."
	}
	if line == "" {
		return ""
	}
	return ": " + line
}

// bounded keeps the beginning of what is written.
type bounded struct{ text []byte }

func (b *bounded) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), 64<<10-len(b.text))]...)
	return len(p), nil
}
