// Command targets tries every kind of target with the matrix of cases of package
// targettest, and prints what came of it as a table: target x case.
//
//	go run ./deploy/targets [-write docs/targets/README.md] [-v]
//
// With EDGE_SOAK=1, targets are killed at every step, not at a sample of them.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// result is what came of one case of one target.
type result struct {
	state string // "ok", "FAIL", "-"
	note  string // why there cannot be such a case
}

// order is that of the columns; what is not in it comes last.
func order() []string {
	return []string{
		"install", "renew", "wildcard", "second name", "again", "undo", "mismatched key", "wrong order", "killed",
		"unreadable", "server down", "reload ignored", "in flight",
		"401", "429", "5xx once", "5xx", "timeout", "half an answer", "slow", "never",
		"answers", "two at once", "hostile", "down", "killed in between",
	}
}

// table has the results by target and case.
type table struct {
	targets []string
	cases   []string
	variant map[[2]string]bool // cells that have cases of their own, as "TestTarget/api/install" has
	cells   map[[2]string]*result
	output  map[[2]string][]string // of what failed
	failed  bool
}

func main() {
	write := flag.String("write", "", "put the table into this `file`, between its marks")
	verbose := flag.Bool("v", false, "show what tests print")
	flag.Parse()
	if err := run(*write, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "targets:", err)
		os.Exit(1)
	}
}

func run(write string, verbose bool) error {
	cmd := exec.Command("go", "test", "-json", "-count=1", "-timeout", "60m", "-run", "^(TestTarget|TestProof)$", "./installers/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	t := &table{cells: map[[2]string]*result{}, output: map[[2]string][]string{}, variant: map[[2]string]bool{}}
	if err := t.read(out, verbose); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	testErr := cmd.Wait()
	if len(t.targets) == 0 {
		return errors.Join(errors.New("no target was tried"), testErr)
	}
	fmt.Print(t.markdown())
	for cell, lines := range t.output {
		if r := t.cells[cell]; r != nil && r.state == "FAIL" {
			fmt.Printf("\n%s: %s\n%s", cell[0], cell[1], strings.Join(lines, ""))
		}
	}
	if testErr != nil || t.failed {
		return errors.Join(errors.New("not every case holds"), testErr)
	}
	if write != "" {
		return replace(write, t.markdown())
	}
	return nil
}

func (t *table) read(r io.Reader, verbose bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("go test printed %q: %w", lines.Text(), err)
		}
		if verbose && e.Output != "" {
			fmt.Fprint(os.Stderr, e.Output)
		}
		t.add(e)
	}
	return lines.Err()
}

func (t *table) add(e event) {
	part := strings.Split(strings.ReplaceAll(e.Test, "_", " "), "/")
	if len(part) < 2 || len(part) > 3 {
		t.failed = t.failed || e.Action == "fail"
		return
	}
	name, of := path.Base(e.Package), ""
	if part[0] == "TestProof" {
		of = " (proves)"
	}
	cell := [2]string{name + of, part[len(part)-1]}
	if len(part) == 3 {
		above := [2]string{name + of, part[1]}
		t.variant[above] = true
		delete(t.cells, above)
		name += ", " + part[1]
		cell[0] = name + of
	} else if t.variant[cell] {
		t.failed = t.failed || e.Action == "fail"
		return
	}
	name += of
	r := t.cells[cell]
	if r == nil {
		r = &result{}
		t.cells[cell] = r
	}
	switch e.Action {
	case "output":
		t.output[cell] = append(t.output[cell], e.Output)
		if _, why, cannot := strings.Cut(e.Output, "n/a: "); cannot {
			r.note = strings.TrimSpace(why)
		}
	case "pass", "skip":
		switch {
		case e.Action == "skip":
			r.state, t.failed = "SKIPPED", true
		case r.note != "":
			r.state = "n/a"
		default:
			r.state = "ok"
		}
	case "fail":
		r.state, t.failed = "FAIL", true
	}
	if r.state != "" {
		if !slices.Contains(t.targets, name) {
			t.targets = append(t.targets, name)
		}
		if !slices.Contains(t.cases, cell[1]) {
			t.cases = append(t.cases, cell[1])
		}
	}
}

// rank is where a case stands.
func rank(c string) int {
	if n := slices.Index(order(), c); n >= 0 {
		return n
	}
	return len(order())
}

// markdown is the table, installers first; what proves has cases of its own.
func (t *table) markdown() string {
	var b strings.Builder
	var notes []string
	slices.Sort(t.targets)
	for _, proves := range []bool{false, true} {
		var rows, cases []string
		for _, name := range t.targets {
			if strings.HasSuffix(name, " (proves)") == proves {
				rows = append(rows, name)
			}
		}
		slices.SortStableFunc(t.cases, func(a, b string) int { return rank(a) - rank(b) })
		for _, c := range t.cases {
			if slices.ContainsFunc(rows, func(name string) bool { return t.cells[[2]string{name, c}] != nil }) {
				cases = append(cases, c)
			}
		}
		fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(cases, " | "), strings.Repeat("---|", len(cases)))
		for _, name := range rows {
			fmt.Fprintf(&b, "| %s |", strings.TrimSuffix(name, " (proves)"))
			for _, c := range cases {
				r := t.cells[[2]string{name, c}]
				switch {
				case r == nil:
					b.WriteString(" |")
				case r.note != "":
					notes = append(notes, fmt.Sprintf("%s, %s: %s", name, c, r.note))
					fmt.Fprintf(&b, " (%d) |", len(notes))
				default:
					fmt.Fprintf(&b, " %s |", r.state)
				}
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	for n, note := range notes {
		fmt.Fprintf(&b, "%d. %s\n", n+1, note)
	}
	return b.String()
}

const (
	begin = "<!-- written by make targets -->\n"
	end   = "<!-- end of the table -->\n"
)

func replace(file, text string) error {
	doc, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(doc), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has lost the marks around its table", file)
	}
	return os.WriteFile(file, []byte(head+begin+text+end+tail), 0o644)
}
