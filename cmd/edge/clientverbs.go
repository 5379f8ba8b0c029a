package main

import (
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"edge/internal/certbotcli"
)

// newClientVerbs are certbot's verbs as commands. Their command lines are read by
// certbotcli, whose grammar is certbot's, not cobra's: what cobra has of them is
// for help, documentation and completion.
func newClientVerbs(stdout, stderr io.Writer) []*cobra.Command {
	var list []*cobra.Command
	for _, v := range certbotcli.Verbs() {
		cmd := &cobra.Command{
			Use:                v.Name,
			Short:              upperFirst(v.Help),
			Long:               upperFirst(v.Help) + ". Flags and files are certbot's; docs/client.md has all of them.",
			Example:            clientExamples(v.Name),
			Hidden:             v.Hidden,
			DisableFlagParsing: true,
			ValidArgsFunction:  completeFlags,
		}
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if code := runClient(cmd.Context(), append([]string{v.Name}, args...), false, stdout, stderr); code != exitOK {
				return &exitError{code: code}
			}
			return nil
		}
		cmd.SetHelpFunc(func(*cobra.Command, []string) {
			io.WriteString(stdout, certbotcli.Help(v.Name, certbotcli.Env{Program: "edge"})+"\n")
		})
		list = append(list, cmd)
	}
	return list
}

// clientExamples are what people want of a verb most often.
func clientExamples(verb string) string {
	switch verb {
	case "certonly":
		return "  edge certonly -d example.org -d www.example.org\n" +
			"  edge certonly --webroot -w /var/www/html -d example.org --deploy-hook 'systemctl reload nginx'\n" +
			"  edge certonly --dns-cloudflare --dns-cloudflare-credentials /etc/edge/cf.ini -d '*.example.org'"
	case "renew":
		return "  edge renew\n  edge renew --dry-run\n  edge renew --cert-name example.org --force-renewal"
	case "certificates":
		return "  edge certificates\n  edge certificates -o json"
	case "delete":
		return "  edge delete --cert-name example.org"
	case "revoke":
		return "  edge revoke --cert-name example.org --reason keycompromise"
	case "reconfigure":
		return "  edge reconfigure --cert-name example.org --webroot -w /srv/www"
	case "register":
		return "  edge register --email ops@example.org --agree-tos"
	case "update_account":
		return "  edge update_account --email ops@example.org"
	case "show_account":
		return "  edge show_account -o json"
	}
	return ""
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// completeFlags offers certbot's flags, and files where a value is expected.
func completeFlags(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if !strings.HasPrefix(typed, "-") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	for _, f := range certbotcli.Flags() {
		if !f.Hidden && strings.HasPrefix(f.Long(), typed) {
			names = append(names, f.Long()+"\t"+f.Help)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// verbFirst puts the verb in front where flags come before it, as certbot allows:
// edge -n certonly.
func verbFirst(args []string) []string {
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") || args[0] == "-h" || args[0] == "--help" {
		return args
	}
	for n, a := range args {
		if slices.ContainsFunc(certbotcli.Verbs(), func(v certbotcli.Verb) bool { return v.Name == a }) {
			return slices.Concat([]string{a}, args[:n], args[n+1:])
		}
	}
	return args
}

// clientHelp prints help of the certificate client: edge --help nginx, edge --help all.
func clientHelp(root *cobra.Command, args []string, stdout io.Writer) bool {
	if len(args) != 2 || args[0] != "help" && args[0] != "--help" && args[0] != "-h" {
		return false
	}
	verb := slices.ContainsFunc(certbotcli.Verbs(), func(v certbotcli.Verb) bool { return v.Name == args[1] })
	if cmd, _, err := root.Find(args[1:]); err == nil && cmd != root && !verb {
		return false
	}
	env := certbotcli.Env{Program: "edge"}
	topic, ok := certbotcli.Topic(args[1], env)
	if ok {
		io.WriteString(stdout, certbotcli.Help(topic, env)+"\n")
	}
	return ok
}

// knownVerb refuses what is no verb whatever flags follow it, which cobra would
// complain about first.
func knownVerb(root *cobra.Command, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[0], "__") {
		return nil // a flag of edge's own, or cobra's completion
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	if cmd, _, err := root.Find(args[:1]); err == nil && cmd != root {
		return nil
	}
	return unknownVerb(root, args[:1])
}
