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

// seeds returns the small files of the corpus, none where there is no corpus: a fuzz
// target has others.
func seeds(f *testing.F) []string {
	f.Helper()
	if _, err := os.Stat(sharedDir()); err != nil && os.Getenv("CI") != "true" {
		return nil
	}
	var out []string
	for _, name := range regularFiles(f, corpus(f)) {
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

// corpus returns the nginx folder of a copy of the corpus, to be read only.
func corpus(t testing.TB) string {
	t.Helper()
	shared(t, "corpus/unpack")
	dir, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	corpusUsed = dir
	return filepath.Join(dir, "nginx")
}

// corpusUsed is what there is to remove.
var corpusUsed string

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

// write makes files below a folder.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, src := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func mustParse(t *testing.T, src string) *File {
	t.Helper()
	f, err := Parse("x.conf", src)
	if err != nil {
		t.Fatalf("%v in %q", err, src)
	}
	return f
}

func mustLoad(t *testing.T, path string) *Set {
	t.Helper()
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// loadFiles writes files and loads nginx.conf among them.
func loadFiles(t *testing.T, files map[string]string) *Set {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	return mustLoad(t, filepath.Join(dir, "nginx.conf"))
}

func mustHTTP(t *testing.T, s *Set, env Env) *HTTP {
	t.Helper()
	h, err := s.HTTP(env)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// find returns the first directive of a name in a file, at any depth.
func find(t *testing.T, f *File, name string) *Directive {
	t.Helper()
	var look func(b *Block) *Directive
	look = func(b *Block) *Directive {
		for d := range b.Directives() {
			if d.Name() == name {
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
	d := look(f.Root)
	if d == nil {
		t.Fatalf("no %s in %q", name, f.Src)
	}
	return d
}

// rebuild writes a tree anew from its parts. What is between them may only be space:
// then the tree accounts for every byte that means something.
func rebuild(f *File) (string, error) {
	var b strings.Builder
	pos := 0
	var err error
	token := func(s Span, text string) {
		if s.Start < pos || s.End < s.Start || s.End > len(f.Src) {
			err = fmt.Errorf("span %v after %d", s, pos)
			return
		}
		gap := f.Src[pos:s.Start]
		if strings.Trim(gap, " \t\r\n") != "" {
			err = fmt.Errorf("%q before %d belongs to nothing", gap, s.Start)
		}
		b.WriteString(gap + text)
		pos = s.End
	}
	var block func(bl *Block)
	directive := func(d *Directive) {
		comments := d.Comments
		for i, w := range d.Words {
			for len(comments) > 0 && comments[0].Start < w.Start {
				token(comments[0].Span, f.Text(comments[0].Span))
				comments = comments[1:]
			}
			token(w.Span, f.Text(w.Span))
			if i == 0 && w.Start != d.Start {
				err = fmt.Errorf("the directive begins at %d, its name at %d", d.Start, w.Start)
			}
		}
		for _, c := range comments {
			token(c.Span, f.Text(c.Span))
		}
		if d.Block == nil {
			token(Span{d.End - 1, d.End}, ";")
			return
		}
		token(Span{d.Block.Open, d.Block.Open + 1}, "{")
		block(d.Block)
		token(Span{d.Block.Close, d.Block.Close + 1}, "}")
		if d.End != pos {
			err = fmt.Errorf("the block ends at %d, the directive at %d", pos, d.End)
		}
	}
	block = func(bl *Block) {
		if bl.Lua {
			token(Span{bl.Open + 1, bl.Close}, f.Src[bl.Open+1:bl.Close])
		}
		for _, item := range bl.Items {
			switch item := item.(type) {
			case *Comment:
				if text := f.Text(item.Span); text[0] != '#' || strings.Contains(text, "\n") {
					err = fmt.Errorf("the comment %q", text)
				}
				token(item.Span, f.Text(item.Span))
			case *Directive:
				if item.Parent != bl {
					err = fmt.Errorf("the parent of %q", item.Text())
				}
				directive(item)
			}
		}
	}
	block(f.Root)
	token(Span{len(f.Src), len(f.Src)}, "")
	return b.String(), err
}
