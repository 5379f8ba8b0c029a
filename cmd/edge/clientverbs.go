package main

import (
	"io"
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
