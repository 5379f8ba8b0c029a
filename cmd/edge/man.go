package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan writes the man pages; packages call it at build time.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:     "man [folder]",
		Short:   "Print the manual page, or write one for each verb into a folder",
		Example: "  edge man | man -l -\n  edge man /usr/local/share/man/man8",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			date := time.Unix(0, 0)
			header := &doc.GenManHeader{Title: "EDGE", Section: "8", Source: "edge " + version, Manual: "edge", Date: &date}
			if len(args) == 0 {
				return doc.GenMan(cmd.Root(), header, cmd.OutOrStdout())
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("man pages: %w", err)
			}
			return doc.GenManTree(cmd.Root(), header, args[0])
		},
	}
}
