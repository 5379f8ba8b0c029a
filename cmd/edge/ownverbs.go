package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"edge/acmeglue/steward"
	"edge/installers/targets"
	"edge/internal/certbotcli"
)

// newHooks has the verbs about people's scripts.
func newHooks(stdout, stderr io.Writer) *cobra.Command {
	parent := &cobra.Command{
		Use:   "hooks",
		Short: "Try the hooks of a lineage",
		Args:  unknownVerb,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	test := &cobra.Command{
		Use:   "test NAME [flags of renew]",
		Short: "Run the hooks of a lineage as a renewal would, without an order",
		Long: `Test runs what renew would run for the lineage: the pre hooks, the deploy hooks and
the post hooks, those in renewal-hooks/ first, with the same variables and in the
same order. Nothing is ordered or changed by edge itself; what the hooks do, they do.
Exit status 1 means that a hook failed.`,
		Example:            "  edge hooks test example.org\n  edge hooks test example.org --hook-timeout 30s --no-directory-hooks",
		DisableFlagParsing: true,
	}
	test.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
			return cmd.Help()
		}
		like := append([]string{"renew", "--cert-name", args[0]}, args[1:]...)
		return runOwn(cmd.Context(), steward.HooksTest, like, stdout, stderr)
	}
	parent.AddCommand(test)
	return parent
}

// newAccount has the verbs about accounts that certbot lacks.
func newAccount(stdout, stderr io.Writer) *cobra.Command {
	parent := &cobra.Command{
		Use:   "account",
		Short: "Change the key of the account at a CA",
		Args:  unknownVerb,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	rollover := &cobra.Command{
		Use:   "rollover [flags of show_account]",
		Short: "Give the account a new key",
		Long: `Rollover makes a new key for the account and has the CA take it in the place of the
old one. The account and its certificates stay. The ID by which certbot and edge know
the account comes from its key: it changes, in renewal files as well. Interrupted, it
is completed by being called again.`,
		Example:            "  edge account rollover\n  edge account rollover --server https://ca.example.org/directory",
		DisableFlagParsing: true,
	}
	rollover.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
			return cmd.Help()
		}
		return runOwn(cmd.Context(), steward.AccountRollover, append([]string{"show_account"}, args...), stdout, stderr)
	}
	parent.AddCommand(rollover)
	return parent
}

// runOwn runs a verb that certbot does not have, with the flags of one that it has.
func runOwn(ctx context.Context, verb string, like []string, stdout, stderr io.Writer) error {
	c := &client{program: "edge", args: append([]string{verb}, like[1:]...), stdout: stdout, stderr: stderr, kinds: targets.All(), logger: slog.New(slog.DiscardHandler)}
	env := certbotcli.Env{Program: "edge", Kinds: c.kinds}
	o, err := certbotcli.Parse(like, env)
	code := exitOK
	if err != nil {
		code = c.notParsed(err, env)
	} else {
		c.o = o
		c.o.Verb = verb
		code = c.carryOut(ctx)
	}
	if code != exitOK {
		return &exitError{code: code}
	}
	return nil
}
