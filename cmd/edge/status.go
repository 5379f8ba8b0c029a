package main

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"edge"
	"edge/installers/delivery"
	"edge/internal/admin"
	"edge/internal/config"
)

func newStatus() *cobra.Command {
	var path, socket, output, state string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the running front door, and how deliveries stand",
		Long: `Status asks the running edge over its admin socket for sites, certificates and
upstreams. Certificates that need attention come first, with the last error and the
time of the next attempt. Of deliveries, it shows what the last run of edge deliver, or of a
renewal, found; edge deliver verify looks anew.`,
		Example: "  edge status\n  edge status -o json | jq '.certificates[] | select(.state != \"valid\")'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			deliveries := knownDeliveries(path, state)
			socket, err := socketOf(path, socket, config.DefaultSocket)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), adminTimeout)
			defer cancel()
			client := admin.NewClient(socket)
			defer client.Close()
			s, err := client.Status(ctx)
			if output == "json" {
				if err != nil && !deliveries.alone {
					return err
				}
				return printJSON(cmd.OutOrStdout(), struct {
					*admin.Status
					Deliveries []delivery.Result `json:"deliveries,omitempty"`
				}{s, deliveries.list})
			}
			if err == nil {
				printStatus(cmd.OutOrStdout(), s, time.Now())
			}
			deliveries.print(cmd.OutOrStdout(), time.Now())
			if err != nil && deliveries.alone {
				return nil // there is no front door, and none is wanted
			}
			return err
		},
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&state, "state-dir", deliverState, "`folder` of the records of deliveries")
	cmd.Flags().StringVar(&socket, "admin", "", "`path` of the admin socket (default: what the configuration says)")
	return cmd
}

// printStatus is for people: what needs attention comes first.
func printStatus(w io.Writer, s *admin.Status, now time.Time) {
	var listeners []string
	for _, l := range s.Listeners {
		listeners = append(listeners, l.Name+" "+l.Address)
	}
	fmt.Fprintf(w, "edge %s, PID %d, up %s, listening on %s\n", s.Version, s.PID, age(now.Sub(s.Started)), strings.Join(listeners, ", "))
	if r := s.LastReload; r != nil && r.Error != "" {
		fmt.Fprintf(w, "\nThe last reload, %s ago, failed:\n%s\n", age(now.Sub(r.Time)), r.Error)
	}
	printUpgrade(w, s.LastUpgrade, now)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nSITE\tHOSTS\tTLS\tPROXY")
	for _, site := range s.Sites {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", site.Name, abridge(site.Hosts, 3), site.TLS, site.Proxy)
	}
	t.Flush()
	fmt.Fprintln(t, "\nCERTIFICATE\tSTATE\tSOURCE\tISSUER\tEXPIRES\tRENEWAL")
	for _, c := range urgent(s.Certificates) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.State, c.Source, dash(c.Issuer), when(c.NotAfter, now), when(c.RenewAfter, now))
	}
	t.Flush()
	for _, c := range s.Certificates {
		switch {
		case c.LastError == "":
		case c.Failures == 0 && c.NextAttempt.IsZero(): // nothing is tried here
			fmt.Fprintf(w, "\n%s: %s\n", c.Name, c.LastError)
		default:
			fmt.Fprintf(w, "\n%s: attempt %d failed %s (%s); next attempt %s\n  %s\n", c.Name, c.Failures, when(c.LastAttempt, now), c.LastReason, when(c.NextAttempt, now), c.LastError)
		}
	}
	printOnDemand(w, s.OnDemand)
	fmt.Fprintln(t, "\nUPSTREAM\tSITE\tHEALTHY\tIN USE\tIDLE\tREQUESTS\tFAILURES\tLAST ERROR")
	for _, u := range s.Upstreams {
		fmt.Fprintf(t, "%s\t%s\t%v\t%d\t%d\t%d\t%d\t%s\n", u.Address, u.Site, u.Healthy, u.InUse, u.Idle, u.Requests, u.Failures, dash(u.LastError))
	}
	t.Flush()
}

func printOnDemand(w io.Writer, o admin.OnDemand) {
	var parts []string
	for _, d := range []string{"allow", "deny", "error", "cached_allow", "cached_deny", "throttled"} {
		if n := o.Decisions[d]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", d, n))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "\nOn-demand decisions: %s\n", strings.Join(parts, ", "))
	}
}

// urgent sorts what is not valid before what is, then by the end of its life.
func urgent(certs []edge.CertificateStatus) []edge.CertificateStatus {
	out := append([]edge.CertificateStatus(nil), certs...)
	sort.SliceStable(out, func(i, j int) bool {
		if vi, vj := out[i].State == edge.StateValid, out[j].State == edge.StateValid; vi != vj {
			return vj
		}
		return out[i].NotAfter.Before(out[j].NotAfter)
	})
	return out
}

func abridge(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], " "), len(list)-n)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// when is a time as people say it.
func when(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return "-"
	case d >= 0:
		return "in " + age(d)
	default:
		return age(-d) + " ago"
	}
}

func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}
