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

	"edge/internal/certbotcli"
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
| USR2 | put a new process in the place of this one ([upgrade.md](upgrade.md)) |
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

const clientPage = "../../docs/client.md"

// docs/client.md is generated from certbotcli's tables.
func TestDocsClient(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# The certificate client

Generated from the code by ` + "`make docs`" + `; do not edit.

edge has certbot's verbs and flags, works on certbot's files, and runs certbot's hooks. Called through a file named ` + "`certbot`" + `
(a link will do), it also has certbot's defaults, texts and exit codes: [certbot-differences.md](certbot-differences.md) has what is different.
Settings come from the command line, then from ` + "`cli.ini`" + ` (` + "`/etc/letsencrypt/cli.ini`, `~/.config/letsencrypt/cli.ini`, or `--config FILE`" + `).

## Verbs

| verb | what it does |
|---|---|
`)
	for _, v := range certbotcli.Verbs() {
		if !v.Hidden {
			fmt.Fprintf(&b, "| `%s` | %s |\n", v.Name, v.Help)
		}
	}
	b.WriteString("| `account rollover` | give the account a new key |\n")
	b.WriteString("| `hooks test NAME` | run the hooks of a lineage as a renewal would, without an order |\n")
	b.WriteString(`
## Targets

Beside nginx and Apache, which have flags of their own below, every target of [targets/settings.md](targets/settings.md) is a plugin: ` + "`-a NAME`" + ` where it
answers challenges, ` + "`-i NAME`" + ` where it installs. Its settings are flags, ` + "`--NAME-SETTING`" + `, keys of ` + "`cli.ini`" + ` without the dashes, and are saved in the
renewal file of the lineage, so that a renewal delivers the new certificate to the same place. A renewal that cannot deliver fails, keeps the certificate, and the next run of
` + "`renew`" + ` delivers it. The names that certbot's plugins had, of themselves and of their flags, mean the same.

` + "```sh" + `
edge plugins                                  # which there are, and what was found on this machine
edge --help haproxy                           # the settings of one
edge run -a webroot -w /var/www -i haproxy -d example.com --plan
edge install --cert-name example.com -i haproxy
edge rollback -i haproxy
` + "```" + `

Secrets are never on the command line: such a setting is ` + "`file:PATH`" + `, a file that others cannot read, or ` + "`env:NAME`" + `. Records of deliveries are in ` + "`edge/deliver`" + ` of the
work folder; [delivery.md](delivery.md) says what is verified and when a delivery is undone.
`)
	b.WriteString("\n## Flags\n\n\"Known to\" says which program has a flag: Debian's certbot 2.1 and later ones, later ones only (certbot 5), only those of 2017 (certbot 0.19), or edge alone.\n\n| flag | meaning | default | known to |\n|---|---|---|---|\n")
	for _, f := range certbotcli.Flags() {
		if f.Hidden || f.Kind != "" {
			continue
		}
		names := strings.Join(f.Names, ", ")
		if f.Arg != "" {
			names += " " + f.Arg
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", names, strings.ReplaceAll(f.Help, "|", "\\|"), f.Default, f.Origin)
	}
	if *update {
		if err := os.WriteFile(clientPage, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(clientPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is stale: run make docs", filepath.Base(clientPage))
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
