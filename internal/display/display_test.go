package display

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"edge/internal/edgetest"
)

// Whatever strangers write, and wherever it is shown, the terminal obeys nothing
// of it, and one line stays one line.
func TestHostileTexts(t *testing.T) {
	const evil = "a\x1b[2J\x1b]0;owned\x07\r\x00\u009b31m\u202egro.elpmaxe\xff\u2028\x7f.example"
	const shown = `a\x1b[2J\x1b]0;owned\x07\x0d\x00\u009b31m\u202egro.elpmaxe\xff\u2028\x7f.example`
	known := func(string) (string, error) { return "", errors.New(evil + "\n" + evil) }
	fine := func(s string) (string, error) { return s, nil }
	var out bytes.Buffer
	var log bytes.Buffer
	ask := func(stdin string) Display {
		return NewTerminal(pipe(t, stdin), &out, Options{ForceInteractive: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	}
	ctx := t.Context()
	questions := map[string]func() error{
		"notify": func() error {
			ask("").Notify(evil, true)
			ask("").Notify(evil, false)
			ask("").Heading(evil)
			return nil
		},
		"listing": func() error { ask("").Listing(evil); return nil },
		"pause":   func() error { return ask("\n").Pause(ctx, evil) },
		"input":   func() error { _, err := ask("x\n").Input(ctx, evil, InputOptions{}); return err },
		"terms":   func() error { return AgreeTerms(ctx, ask("y\n"), evil+"\n"+evil) },
		"account": func() error { _, err := ChooseAccount(ctx, ask("1\n"), []string{evil + "\n" + evil}); return err },
		"names": func() error {
			_, err := ChooseNames(ctx, ask("1\n"), []string{evil + "\n" + evil}, "", fine)
			return err
		},
		"no names": func() error { _, err := ChooseNames(ctx, ask("x\nn\n"), nil, "", known); return err },
		"certs": func() error {
			_, err := ChooseCerts(ctx, ask("1\n"), "delete", []string{evil + "\n" + evil})
			return err
		},
		"delete": func() error { _, err := ConfirmDelete(ctx, ask("n\n"), []string{evil + "\n" + evil}); return err },
		"new names": func() error {
			return ConfirmNewNames(ctx, ask("u\n"), evil+"\n"+evil, []string{evil + "\n" + evil}, []string{evil + "\n" + evil + "2"})
		},
		"expand": func() error {
			names := []string{evil + "\n" + evil}
			return ConfirmExpand(ctx, ask("c\n"), Expansion{evil + "\n" + evil, names, names, evil + " " + evil})
		},
		"identical": func() error { _, err := AskIdentical(ctx, ask("1\n"), "run", evil+"\n"+evil); return err },
		"key type":  func() error { _, err := ConfirmKeyType(ctx, ask("u\n"), evil+"\n"+evil, "RSA", "ECDSA"); return err },
		"plugin": func() error {
			_, err := ChoosePlugin(ctx, ask("1\n2\n"), AskInstaller, []Plugin{{"x", evil, evil}, {"y", "", ""}})
			return err
		},
		"webroot": func() error {
			_, err := ChooseWebroot(ctx, ask("2\n"), evil+"\n"+evil, []string{evil + "\n" + evil}, fine)
			return err
		},
		"menu without anybody": func() error {
			_, err := NewNonInteractive(&out, Options{}).Menu(ctx, evil, Choices([]string{evil + "\n" + evil}), MenuOptions{})
			out.WriteString(err.Error())
			return err
		},
	}
	for name, question := range questions {
		out.Reset()
		err := question()
		var missing *MissingError
		if err != nil && !errors.Is(err, ErrCancelled) && !errors.As(err, &missing) {
			t.Errorf("%s: %v", name, err)
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return unsafe(r) && r != '\n' }); i >= 0 {
			t.Errorf("%s: %q", name, out.String()[i:])
		}
		if !strings.Contains(out.String(), strings.ReplaceAll(shown, " ", "")) && name != "menu without anybody" {
			t.Errorf("%s: the text is not shown: %q", name, out.String())
		}
		// A name with two lines in it is written with \x0a.
		if one := strings.Contains(out.String(), `\x0a`); !one && !strings.Contains("notify listing pause input plugin", name) {
			t.Errorf("%s: a stranger begins lines of his own: %q", name, out.String())
		}
	}
}

func TestAnswersHaveAnEnd(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		b := bytes.Repeat([]byte("x"), 4096)
		for {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}()
	defer w.Close()
	_, err = NewTerminal(r, io.Discard, Options{}).Input(t.Context(), "Name", InputOptions{})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(maxAnswer)) {
		t.Error(err)
	}
	ok := strings.Repeat("y", maxAnswer)
	if s, err := NewTerminal(pipe(t, ok[:1<<15]+"\n"), io.Discard, Options{}).Input(t.Context(), "Name", InputOptions{}); err != nil || len(s) != 1<<15 {
		t.Error(len(s), err)
	}
}

// What follows an answer is for somebody else.
func TestReadsNoFurther(t *testing.T) {
	in := pipe(t, "answer\nfor a hook\n")
	if s, err := NewTerminal(in, io.Discard, Options{}).Input(t.Context(), "Name", InputOptions{}); err != nil || s != "answer" {
		t.Error(s, err)
	}
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "for a hook\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

// Where there is no terminal, defaults are taken, and one warning says so.
func TestNoTerminal(t *testing.T) {
	var log bytes.Buffer
	o := Options{Program: "edge", Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	d := NewTerminal(pipe(t, "n\nn\n"), io.Discard, o)
	for range 2 {
		if yes, err := ConfirmDelete(t.Context(), d, []string{"a"}); err != nil || !yes {
			t.Error(yes, err)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "because edge doesn't appear to be running in a terminal") {
		t.Error(log.String())
	}
	if !strings.Contains(log.String(), "Falling back to default true for the prompt") {
		t.Error(log.String())
	}
	// A standard input that was closed is like one that has ended.
	var eof *EOFError
	if _, err := AskEmail(t.Context(), NewTerminal(nil, io.Discard, o), EmailOptions{}); !errors.As(err, &eof) || eof.Flag != "--email" {
		t.Error(err)
	}
}

// Half a terminal is none.
func TestTerminalOnOneSide(t *testing.T) {
	p := edgetest.OpenPTY(t)
	for _, d := range []Display{NewTerminal(p.Slave, io.Discard, Options{}), NewTerminal(pipe(t, "n\n"), p.Slave, Options{})} {
		if yes, err := ConfirmDelete(t.Context(), d, []string{"a"}); err != nil || !yes {
			t.Error(yes, err)
		}
	}
}

func TestCleanKeepsText(t *testing.T) {
	for _, s := range []string{"", "1\u00a0000 \u20ac\n\t\u00fc", "\u65e5\u672c\u8a9e", "\ufffd", "e\u0301"} {
		if c := Clean(s); c != s {
			t.Errorf("%q becomes %q", s, c)
		}
	}
}

// Nobody is asked what cannot be shown.
func TestOutputGone(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	in := pipe(t, "y\n")
	d := NewTerminal(in, full, Options{ForceInteractive: true})
	if _, err := ConfirmDelete(t.Context(), d, []string{"a"}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Error(err)
	}
	if rest, _ := io.ReadAll(in); string(rest) != "y\n" {
		t.Errorf("an answer was taken: %q left", rest)
	}
}

func TestNothingToChooseFrom(t *testing.T) {
	d := NewTerminal(pipe(t, "1\n"), io.Discard, Options{})
	if _, err := d.Menu(t.Context(), "x", nil, MenuOptions{}); err == nil {
		t.Error("menu")
	}
	if _, err := d.Checklist(t.Context(), "x", nil, ChecklistOptions{}); err == nil {
		t.Error("checklist")
	}
}

// Wrong addresses are logged, in one line each.
func TestInvalidEmailIsLogged(t *testing.T) {
	var log bytes.Buffer
	d := NewTerminal(pipe(t, "bad\x1b[2J\nme@example.org\n"), io.Discard, Options{})
	if s, err := AskEmail(t.Context(), d, EmailOptions{Log: slog.New(slog.NewTextHandler(&log, nil))}); err != nil || s != "me@example.org" {
		t.Error(s, err)
	}
	if !strings.Contains(log.String(), `Invalid email address: bad\\x1b[2J.`) {
		t.Error(log.String())
	}
}

func FuzzClean(f *testing.F) {
	f.Add("plain text\n\twith lines")
	f.Add("\x1b[2J\u009b\u202e\xff\xc3")
	f.Add(`\x1b and ` + "\ufffd")
	f.Fuzz(func(t *testing.T, s string) {
		c := Clean(s)
		if Clean(c) != c {
			t.Errorf("%q becomes %q", c, Clean(c))
		}
		if !utf8.ValidString(c) {
			t.Errorf("%q is not UTF-8", c)
		}
		for _, r := range c {
			if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
				t.Errorf("%q lets %U through", c, r)
			}
		}
		if strings.Contains(CleanLine(s), "\n") {
			t.Errorf("%q has lines", CleanLine(s))
		}
		// Wrapping loses and adds blanks only.
		w := wrapLines(c)
		if a, b := strings.Fields(c), strings.Fields(w); strings.Join(a, "") != strings.Join(b, "") {
			t.Errorf("%q is wrapped to %q", c, w)
		}
	})
}
