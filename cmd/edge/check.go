package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"edge/internal/config"
)

func newCheck() *cobra.Command {
	var path, output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and report every error in it",
		Long: `Check reads the configuration as serve and reload do, with everything that it
names (secrets, certificates, CA roots), and reports all errors at once. It
changes nothing and asks nobody. Exit status 2 means that there are errors.`,
		Example: "  edge check\n  edge check --config ./edge.yaml -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			cfg, err := config.Load(path)
			if err == nil {
				err = tryWiring(cfg)
			}
			if output == "json" {
				return checkJSON(cmd, cfg, err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: valid, %s\n", path, contents(cfg))
			return nil
		},
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output)
	return cmd
}

// tryWiring builds what a configuration asks for, but binds and connects nothing.
func tryWiring(cfg *config.Config) error {
	w := newRouting(parts{})
	if _, err := w.table(cfg); err != nil {
		return err
	}
	access := accessOptions(cfg.Log.Access)
	if err := access.Check(); err != nil {
		return err
	}
	for _, p := range w.pools {
		if _, err := poolOptions(p, nil); err != nil {
			return misplaced(p.Pos, err.Error(), "")
		}
	}
	return nil
}

// contents counts what a configuration describes.
func contents(cfg *config.Config) string {
	s := plural(len(cfg.Sites), "site")
	if n := len(cfg.Certificates); n > 0 {
		s += ", " + plural(n, "lineage")
	}
	return s
}

// checkJSON prints the same outcome for machines: the errors, none where valid.
func checkJSON(cmd *cobra.Command, cfg *config.Config, err error) error {
	var invalid config.Errors
	if err != nil && !errors.As(err, &invalid) {
		return err
	}
	doc := struct {
		Valid  bool          `json:"valid"`
		Files  []string      `json:"files,omitempty"`
		Errors config.Errors `json:"errors"`
	}{Valid: err == nil, Errors: invalid}
	if doc.Errors == nil {
		doc.Errors = config.Errors{}
	}
	if cfg != nil {
		doc.Files = cfg.Files
	}
	if perr := printJSON(cmd.OutOrStdout(), doc); perr != nil {
		return perr
	}
	if err != nil {
		return &exitError{code: exitUsage}
	}
	return nil
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the configuration",
		Long:    "Schema prints the JSON Schema (2020-12) of the configuration file. Editors complete and check from it.",
		Example: "  edge schema > edge.schema.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
