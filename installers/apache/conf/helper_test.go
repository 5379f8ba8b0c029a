package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if corpusUsed != "" {
		os.RemoveAll(corpusUsed)
	}
	os.Exit(code)
}

// shared returns a path in the folder of recorded files.
func shared(t testing.TB, name string) string {
	t.Helper()
	name = filepath.Join(sharedDir(), name)
	switch _, err := os.Stat(name); {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true":
		t.Skipf("not run: no recorded files (%v)", err)
	default:
		t.Fatalf("the recorded files are missing: set EDGE_SHARED (%v)", err)
	}
	return name
}

func sharedDir() string {
	if dir := os.Getenv("EDGE_SHARED"); dir != "" {
		return dir
	}
	return "../../../../shared"
}

// unpacked is a copy of the corpus for all tests; TestMain removes it.
var unpacked = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("bash", filepath.Join(sharedDir(), "corpus/unpack"), dir).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("unpack the corpus: %w: %s", err, out)
	}
	return dir, err
})

// corpusUsed is what there is to remove.
var corpusUsed string

// corpus returns the apache folder of a copy of the corpus, to be read only.
func corpus(t testing.TB) string {
	t.Helper()
	shared(t, "corpus/unpack")
	dir, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	corpusUsed = dir
	return filepath.Join(dir, "apache")
}

// regularFiles returns the files below a folder, links left out.
func regularFiles(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// seeds returns the small files of the corpus, none where there is no corpus: a fuzz
// target has others.
func seeds(f *testing.F) []string {
	f.Helper()
	if _, err := os.Stat(sharedDir()); err != nil && os.Getenv("CI") != "true" {
		return nil
	}
	var out []string
	for _, name := range regularFiles(f, filepath.Join(corpus(f), "vhosts")) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 4<<10 {
			out = append(out, string(b))
		}
	}
	return out
}

// write makes files below a folder; "-> target" is a symbolic link.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, src := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(src, "-> "); link {
			err = os.Symlink(target, name)
		} else {
			err = os.WriteFile(name, []byte(src), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// realDir is a folder without symbolic links in its name.
func realDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustParse(t testing.TB, src string) *File {
	t.Helper()
	f, err := Parse("x.conf", src)
	if err != nil {
		t.Fatalf("%v in %q", err, src)
	}
	return f
}

func mustLoad(t testing.TB, path string, env Env) *Set {
	t.Helper()
	s, err := Load(path, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// find returns the first directive of a name in a file, at any depth.
func find(t testing.TB, b *Block, name string) *Directive {
	t.Helper()
	var look func(b *Block) *Directive
	look = func(b *Block) *Directive {
		for d := range b.Directives() {
			if d.Is(name) {
				return d
			}
			if d.Block != nil {
				if inner := look(d.Block); inner != nil {
					return inner
				}
			}
		}
		return nil
	}
	d := look(b)
	if d == nil {
		t.Fatalf("no %s in %q", name, b.File.Src)
	}
	return d
}

// rebuild writes a tree anew from its parts. What is between them may only be space and
// joined lines: then the tree accounts for every byte that means something.
func rebuild(f *File) (string, error) {
	var b strings.Builder
	pos := 0
	var err error
	token := func(s Span) {
		if s.Start < pos || s.End < s.Start || s.End > len(f.Src) {
			err = fmt.Errorf("span %v after %d", s, pos)
			return
		}
		gap := strings.NewReplacer("\\\r\n", "", "\\\n", "").Replace(f.Src[pos:s.Start])
		if strings.Trim(gap, spaces+"\\") != "" {
			err = fmt.Errorf("%q before %d belongs to nothing", gap, s.Start)
		}
		b.WriteString(f.Src[pos:s.End])
		pos = s.End
	}
	var block func(bl *Block)
	directive := func(d *Directive) {
		head := d.Span
		if d.Block != nil {
			head.End = d.Block.Open
		}
		at := head.Start
		for _, w := range d.Words {
			if w.Start < at || w.End > head.End || w.End < w.Start {
				err = fmt.Errorf("the word %q of %v", w.Value, head)
			}
			at = w.End
		}
		if len(d.Words) == 0 || d.lines.Start > d.Start || d.lines.End < d.End {
			err = fmt.Errorf("the directive %q", d.Text())
		}
		token(head)
		if d.Block == nil {
			return
		}
		block(d.Block)
		token(Span{d.Block.Close, d.End})
		if d.Block.end > d.Block.Close || d.Block.end < d.Block.Open {
			err = fmt.Errorf("the end of %q", d.Text())
		}
	}
	block = func(bl *Block) {
		if bl.Opaque {
			pos = max(pos, bl.Close)
			b.WriteString(f.Src[bl.Open:bl.Close])
		}
		for _, item := range bl.Items {
			switch item := item.(type) {
			case *Comment:
				if f.Src[item.Start] != '#' {
					err = fmt.Errorf("the comment %q", f.Text(item.Span))
				}
				token(item.Span)
			case *Directive:
				if item.Parent != bl {
					err = fmt.Errorf("the parent of %q", item.Text())
				}
				directive(item)
			}
		}
	}
	block(f.Root)
	token(Span{len(f.Src), len(f.Src)})
	return b.String(), err
}
