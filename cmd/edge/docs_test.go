package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the generated pages anew")

const cliPage = "../../docs/cli.md"

// docs/cli.md is generated from the commands; this test fails when it is stale.
func TestDocsCLI(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# Command line

Generated from the code by ` + "`make docs`" + `; do not edit.

Output for people goes to standard output, diagnostics to standard error. Everything that lists has ` + "`-o json`" + `.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | failed; the message says what and why |
| 2 | wrong usage, or a configuration that is not valid |
| 75 | try again later: the CA's rate limit was reached |

| signal to ` + "`edge serve`" + ` | meaning |
|---|---|
| HUP | reload the configuration; a bad one changes nothing |
| USR1 | reopen the logs |
| TERM, INT | stop accepting, finish what is in flight within ` + "`limits.drain`" + `, exit; a second one exits at once |
`)
	writeCommand(&b, newRoot(io.Discard, io.Discard))
	if *update {
		if err := os.WriteFile(cliPage, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(cliPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is stale: run make docs", filepath.Base(cliPage))
	}
}

func writeCommand(b *bytes.Buffer, cmd *cobra.Command) {
	if !cmd.IsAvailableCommand() && cmd.HasParent() {
		return
	}
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n", cmd.CommandPath(), strings.TrimSpace(long))
	if cmd.Example != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", dedent(cmd.Example))
	}
	first := true
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if first {
			b.WriteString("\n| flag | meaning |\n|---|---|\n")
			first = false
		}
		name, usage := pflag.UnquoteUsage(f)
		short := ""
		if f.Shorthand != "" {
			short = "-" + f.Shorthand + ", "
		}
		spec := strings.TrimSpace(short + "--" + f.Name + " " + strings.ToUpper(name))
		def := ""
		if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "false" {
			def = " (" + f.DefValue + ")"
		}
		fmt.Fprintf(b, "| `%s` | %s%s |\n", spec, usage, def)
	})
	for _, sub := range cmd.Commands() {
		writeCommand(b, sub)
	}
}

func dedent(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
