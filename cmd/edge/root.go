package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"edge/internal/config"
)

const defaultConfig = "/etc/edge/edge.yaml"

// newRoot builds the command tree. Nothing is shared between two calls.
func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "edge",
		Short: "A front door for web servers, certificates included",
		Long: `edge terminates TLS in front of your web servers, answers ACME challenges inline,
obtains and renews certificates, on demand where you allow it, and proxies to
your backends.`,
		Example: `  edge serve --domain example.org --to 127.0.0.1:3000 --email me@example.org --agree-tos
  edge check && edge reload
  edge status`,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		DisableAutoGenTag:          true,
		Args:                       unknownVerb,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(fmt.Errorf("%w\nRun '%s --help' for usage", err, cmd.CommandPath()))
	})
	root.AddCommand(
		newServe(),
		newCheck(),
		newReload(),
		newUpgrade(),
		newStatus(),
		newTop(),
		newSchema(),
		newVersion(),
		newMan(),
	)
	root.AddCommand(newClientVerbs(stdout, stderr)...)
	root.AddCommand(newHooks(stdout, stderr), newAccount(stdout, stderr), newDeliver(), newTakeover())
	return root
}

func usageError(err error) error { return &exitError{code: exitUsage, err: err} }

// report prints an error the way people read it and returns the exit code.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	var exit *exitError
	var invalid config.Errors
	switch {
	case errors.As(err, &invalid):
		fmt.Fprintln(stderr, invalid.Error())
		return exitUsage
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(stderr, "edge:", exit.err)
		}
		return exit.code
	}
	fmt.Fprintln(stderr, "edge:", err)
	return exitFailed
}

// unknownVerb refuses what is no verb, and says which one it looks like.
func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "run 'edge --help' for the list"
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		hint = "did you mean " + s[0] + "?"
	}
	return usageError(fmt.Errorf("unknown command %q; %s", args[0], hint))
}

// noArgs refuses arguments as a usage error, which cobra.NoArgs does not mark as one.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0]))
	}
	return nil
}

// outputFlag adds -o text|json.
func outputFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "output", "o", "text", "output `format`: text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func checkOutput(format string) error {
	if format != "text" && format != "json" {
		return usageError(fmt.Errorf("--output %q: use text or json", format))
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func configFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "config", "c", defaultConfig, "configuration `file`; conf.d/*.yaml beside it is read as well")
}

func newVersion() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  edge version -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": version, "go": runtime.Version(), "revision": revision()})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "edge %s (%s)\n", version, runtime.Version())
			return nil
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// revision is the commit the binary was built from, where the toolchain recorded it.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}
