package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"edge/internal/admin"
	"edge/internal/config"
)

func newUpgrade() *cobra.Command {
	var path, socket, output string
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Put a new process in the place of the running front door",
		Long: `Upgrade has the running edge start its program again, by the path that it was
started by, so that a binary that has been put there since takes over. The new
process gets all sockets and reads the configuration. Only when it serves does
the old one step back and finish what it has begun: no connection is refused.

Where the new process does not come up, the old one goes on as before, the
reason is printed and the exit status is not zero. SIGUSR2 does the same.`,
		Example: "  install -m 755 edge-new /usr/bin/edge && edge upgrade\n  edge upgrade -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			at, err := socketOf(path, socket, config.DefaultSocket)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), upgradeTime+adminTimeout)
			defer cancel()
			client := admin.NewClient(at)
			defer client.Close()
			r, err := client.Upgrade(ctx)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), r)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "PID %d (%s) serves in the place of PID %d, which finishes what it has begun\n", r.PID, r.Version, r.Was)
			return nil
		},
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&socket, "admin", "", "`path` of the admin socket (default: what the configuration says)")
	return cmd
}

// lastUpgrade is what status says of upgrades.
func (d *door) lastUpgrade() *admin.UpgradeResult {
	r := d.lastTry.Load()
	if r == nil && d.from != nil {
		r = &admin.UpgradeResult{Time: d.started, PID: os.Getpid(), Version: version, Was: d.from.offer.PID, Draining: d.from.draining()}
	}
	return r
}

func printUpgrade(w io.Writer, r *admin.UpgradeResult, now time.Time) {
	switch {
	case r == nil:
	case r.Error != "":
		fmt.Fprintf(w, "\nThe last upgrade, %s ago, failed:\n%s\n", age(now.Sub(r.Time)), r.Error)
	case r.Draining:
		fmt.Fprintf(w, "Took the place of PID %d %s ago, which finishes what it had begun\n", r.Was, age(now.Sub(r.Time)))
	default:
		fmt.Fprintf(w, "Took the place of PID %d %s ago\n", r.Was, age(now.Sub(r.Time)))
	}
}
