package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"edge/internal/admin"
	"edge/internal/config"
)

// adminTimeout bounds calls over the admin socket. A reload binds listeners and
// reads certificates; on a busy machine that takes seconds, not minutes.
const adminTimeout = 60 * time.Second

func newReload() *cobra.Command {
	var path, socket string
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running front door read its configuration again",
		Long: `Reload checks the configuration, tells the running edge to take it up, and waits
until it has. Where the configuration is bad or something cannot be bound,
nothing changes, the reason is printed and the exit status is not zero.`,
		Example: "  edge reload\n  edge reload --config ./edge.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if socket == "" {
				// A bad file is reported here, with its lines, before anybody is asked.
				cfg, err := config.Load(path)
				if err != nil {
					return err
				}
				socket = cfg.Admin.Socket
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), adminTimeout)
			defer cancel()
			client := admin.NewClient(socket)
			defer client.Close()
			if err := client.Reload(ctx); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "reloaded")
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&socket, "admin", "", "`path` of the admin socket (default: what the configuration says)")
	return cmd
}

// socketOf finds the admin socket for verbs that only ask: a configuration with
// mistakes, or one that the caller may not read, must not keep anybody from
// looking at the running edge.
func socketOf(path, socket, usual string) (string, error) {
	if socket != "" {
		return socket, nil
	}
	cfg, err := config.Load(path)
	if err == nil {
		return cfg.Admin.Socket, nil
	}
	if info, serr := os.Stat(usual); serr == nil && info.Mode()&os.ModeSocket != 0 {
		return usual, nil
	}
	return "", fmt.Errorf("%w\n\nName the socket with --admin to ask the running edge all the same", err)
}
