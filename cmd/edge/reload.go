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
			var cfg *config.Config
			if socket == "" {
				// A bad file is reported here, with its lines, before anybody is asked.
				var err error
				if cfg, err = config.Load(path); err != nil {
					return err
				}
				socket = cfg.Admin.Socket
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), adminTimeout)
			defer cancel()
			client := admin.NewClient(socket)
			defer client.Close()
			if cfg != nil {
				if err := runsWith(ctx, client, cfg, socket); err != nil {
					return err
				}
			}
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

// runsWith refuses to reload an edge that would read another file than the one
// that was checked: it would say "reloaded", and nothing of the file be in force.
func runsWith(ctx context.Context, client *admin.Client, cfg *config.Config, socket string) error {
	st, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if len(st.Files) == 0 {
		return fmt.Errorf("the edge at %s (PID %d) was started with flags alone and reads no file: restart it to change anything", socket, st.PID)
	}
	have, herr := os.Stat(st.Files[0])
	want, werr := os.Stat(cfg.Files[0])
	if herr == nil && werr == nil && os.SameFile(have, want) {
		return nil
	}
	return fmt.Errorf("the edge at %s (PID %d) reads %s, not %s: nothing was reloaded; name its file with --config, or restart it with this one",
		socket, st.PID, st.Files[0], cfg.Files[0])
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
