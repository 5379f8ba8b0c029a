package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"edge/installers/delivery"
	"edge/internal/accesslog"
	"edge/internal/config"
)

const (
	deliverState = "/var/lib/edge-deliver"
	letsencrypt  = "/etc/letsencrypt"
	certbotWork  = "/var/lib/letsencrypt"
)

// deliverFlags are what the verbs have in common.
type deliverFlags struct {
	config, state, tree, work, output, spool string
	lockTimeout                              time.Duration
}

// newDeliver has the verbs that bring certificates to where they are used.
func newDeliver() *cobra.Command {
	parent := &cobra.Command{
		Use:   "deliver",
		Short: "Bring certificates to where they are used, and see that they are",
		Long: `Deliver has the certificates of the configuration's deliver keys brought to their
targets: folders, programs, servers on this machine, services elsewhere (edge plugins
lists them, docs/targets describes them). What is wanted is compared with what was done, with
what is on the disk, and with what the live server shows in a TLS handshake. What
fails is undone where it can be, and tried again by the next run.

It runs as root, and refuses a configuration that others can write.`,
		SuggestionsMinimumDistance: 2,
		Args:                       unknownVerb,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	parent.AddCommand(newDeliverPlan(), newDeliverApply(), newDeliverVerify())
	return parent
}

func newDeliverPlan() *cobra.Command {
	var f deliverFlags
	cmd := &cobra.Command{
		Use:     "plan [NAME...]",
		Short:   "Show what apply would do, and why",
		Long:    "Plan looks at each delivery and says what apply would do. It changes nothing and takes no lock. NAME is that of a lineage or a host.",
		Example: "  edge deliver plan\n  edge deliver plan mail -o json",
		RunE: func(cmd *cobra.Command, names []string) error {
			results, err := f.run(cmd, names, (*deliveries).plan)
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), results, printPlan)
		},
	}
	f.add(cmd)
	return cmd
}

func newDeliverApply() *cobra.Command {
	var f deliverFlags
	cmd := &cobra.Command{
		Use:   "apply [NAME...]",
		Short: "Make the deliveries that are due",
		Long: `Apply makes each delivery that is not in sync, and leaves all others alone. Exit
status 1 means that one failed: what was there before is back, where that can be.`,
		Example: "  edge deliver apply\n  edge deliver apply mail",
		RunE: func(cmd *cobra.Command, names []string) error {
			results, err := f.run(cmd, names, (*deliveries).apply)
			if err != nil && len(results) > 0 {
				return errors.Join(err, f.print(cmd.OutOrStdout(), results, printApplied))
			}
			if err != nil {
				return err
			}
			return errors.Join(f.print(cmd.OutOrStdout(), results, printApplied), failedDeliveries(results))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.spool, "spool", "", "deliver what the door left in this `folder`, and empty it")
	return cmd
}

func newDeliverVerify() *cobra.Command {
	var f deliverFlags
	cmd := &cobra.Command{
		Use:   "verify [NAME...]",
		Short: "See whether everything is where it should be, and shown by live servers",
		Long: `Verify looks at each delivery: at its target, and at what the live server shows
where the configuration says where to look. Exit status 1 means that something is not
as it should be. The metrics are brought up to date.`,
		Example: "  edge deliver verify\n  edge deliver verify -o json",
		RunE: func(cmd *cobra.Command, names []string) error {
			results, err := f.run(cmd, names, (*deliveries).verify)
			if err != nil {
				return err
			}
			return errors.Join(f.print(cmd.OutOrStdout(), results, printVerified), failedDeliveries(results))
		},
	}
	f.add(cmd)
	return cmd
}

func (f *deliverFlags) add(cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cfg, err := config.Load(f.config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return deliverNames(cfg), cobra.ShellCompDirectiveNoFileComp
	}
	configFlag(cmd, &f.config)
	outputFlag(cmd, &f.output)
	cmd.Flags().StringVar(&f.state, "state-dir", deliverState, "`folder` of the records")
	cmd.Flags().StringVar(&f.tree, "config-dir", letsencrypt, "`folder` of the lineages, as certbot's flag")
	cmd.Flags().StringVar(&f.work, "work-dir", certbotWork, "`folder` of what undoes changes of servers' configuration, as certbot's flag")
	cmd.Flags().DurationVar(&f.lockTimeout, "lock-timeout", 5*time.Minute, "how long to wait for another run")
}

// verb is the work of a verb.
type verb func(*deliveries, context.Context) ([]delivery.Result, error)

// run does the work of a verb. Results that come with an error are of what was done
// in spite of it.
func (f *deliverFlags) run(cmd *cobra.Command, names []string, do verb) ([]delivery.Result, error) {
	if err := checkOutput(f.output); err != nil {
		return nil, err
	}
	// What was begun is undone or ended, whoever wants to stop.
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if f.spool != "" {
		if len(names) > 0 {
			return nil, usageError(errors.New("--spool has the names: give none beside it"))
		}
		return f.runSpool(ctx, cmd.ErrOrStderr(), do)
	}
	d, err := f.deliveries(cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	if err := d.choose(names); err != nil {
		return nil, usageError(err)
	}
	return do(d, ctx)
}

// deliveries are those of the configuration.
func (f *deliverFlags) deliveries(stderr io.Writer) (*deliveries, error) {
	cfg, err := config.LoadTrusted(f.config)
	if err != nil {
		return nil, err
	}
	log, _, err := accesslog.NewLogger(stderr, "text", "warn")
	if err != nil {
		return nil, err
	}
	return &deliveries{
		cfg: cfg, state: f.state, tree: f.tree, work: f.work,
		lockTimeout: f.lockTimeout, textfile: deliverTextfile(f.state), log: log,
	}, nil
}

// choose limits the run to names, all of which have to be there.
func (d *deliveries) choose(names []string) error {
	if len(names) == 0 {
		return nil
	}
	known := deliverNames(d.cfg)
	d.only = map[string]bool{}
	for _, n := range names {
		if !slices.Contains(known, n) {
			if len(known) == 0 {
				return fmt.Errorf("%q: nothing is delivered; write deliver beside a certificate or a site", n)
			}
			return fmt.Errorf("%q is delivered nowhere; the configuration has %s", n, abridge(known, 8))
		}
		d.only[n] = true
	}
	return nil
}

// deliverTextfile is where the metrics of deliveries go; empty: nobody collects them.
func deliverTextfile(state string) string {
	dir, set := os.LookupEnv("EDGE_TEXTFILE_DIR")
	if !set {
		dir = textfileDir
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || state != deliverState {
			return ""
		}
	}
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "edge-deliver.prom")
}

// failedDeliveries is the exit status: what is wrong was printed.
func failedDeliveries(results []delivery.Result) error {
	for i := range results {
		if !results[i].OK() {
			return &exitError{code: exitFailed}
		}
	}
	return nil
}

func (f *deliverFlags) print(w io.Writer, results []delivery.Result, text func(io.Writer, []delivery.Result)) error {
	if f.output == "json" {
		if results == nil {
			results = []delivery.Result{}
		}
		return printJSON(w, map[string]any{"deliveries": results})
	}
	if len(results) == 0 && f.spool == "" {
		fmt.Fprintln(w, "Nothing is to be delivered.")
	}
	text(w, results)
	return nil
}

func title(r *delivery.Result) string {
	return fmt.Sprintf("%s -> %s %s: %s", r.Name, r.Target, r.Where, strings.ReplaceAll(string(r.State), "_", " "))
}

func printPlan(w io.Writer, results []delivery.Result) {
	for i := range results {
		r := &results[i]
		fmt.Fprintln(w, title(r))
		for _, why := range r.Reasons {
			fmt.Fprintf(w, "  %s\n", why)
		}
		if r.Error != "" {
			fmt.Fprintf(w, "  last error: %s\n", indented(r.Error))
		}
		for _, a := range r.Actions {
			fmt.Fprintf(w, "  + %s\n", a)
		}
	}
}

func printApplied(w io.Writer, results []delivery.Result) {
	for i := range results {
		r := &results[i]
		did := ""
		if r.Changed && r.OK() {
			did = ", delivered now"
		}
		fmt.Fprintln(w, title(r)+did)
		if r.Later != "" {
			fmt.Fprintf(w, "  %s\n", indented(r.Later))
		}
		if r.Error != "" {
			fmt.Fprintf(w, "  %s\n", indented(r.Error))
		}
	}
}

func printVerified(w io.Writer, results []delivery.Result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(results) > 0 {
		fmt.Fprintln(t, "NAME\tTARGET\tSTATE\tDELIVERED\tVERIFIED")
	}
	now := time.Now()
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\n", r.Name, r.Target, r.Where, r.State, when(r.Delivered, now), when(r.Verified, now))
	}
	t.Flush()
	for i := range results {
		r := &results[i]
		if r.OK() {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", title(r))
		for _, why := range r.Reasons {
			fmt.Fprintf(w, "  %s\n", why)
		}
		if r.Error != "" {
			fmt.Fprintf(w, "  last error: %s\n", indented(r.Error))
		}
	}
}

// indented keeps lines that a program wrote below the one that they belong to.
func indented(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ") }
