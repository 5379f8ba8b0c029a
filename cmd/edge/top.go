package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"edge"
	"edge/internal/admin"
	"edge/internal/config"
	"edge/internal/statuspage"
)

func newTop() *cobra.Command {
	var path, socket, output string
	var interval time.Duration
	var once bool
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the running front door",
		Long: `Top shows, again and again, the upstream servers with their rates, and the
certificates that end soonest or that something is wrong with. Control-C ends it. Where the output is
no terminal, or with --once, it prints one picture, taken over an interval.`,
		Example: "  edge top\n  edge top --interval 5s\n  edge top --once -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if interval < 100*time.Millisecond {
				return usageError(fmt.Errorf("--interval %v: at least 100ms", interval))
			}
			socket, err := socketOf(path, socket, config.DefaultSocket)
			if err != nil {
				return err
			}
			client := admin.NewClient(socket)
			defer client.Close()
			t := &top{client: client, out: cmd.OutOrStdout(), json: output == "json", interval: interval}
			terminal, ok := t.out.(*os.File)
			return t.run(cmd.Context(), once || t.json || !ok || !isTerminal(terminal))
		},
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output)
	f := cmd.Flags()
	f.StringVar(&socket, "admin", "", "`path` of the admin socket")
	f.DurationVar(&interval, "interval", 2*time.Second, "`time` between two looks")
	f.BoolVar(&once, "once", false, "print one picture and exit")
	return cmd
}

type top struct {
	client   *admin.Client
	out      io.Writer
	json     bool
	interval time.Duration
	rates    statuspage.Rates
}

// picture is what is shown at a moment.
type picture struct {
	Time         time.Time                `json:"time"`
	Version      string                   `json:"version"`
	PID          int                      `json:"pid"`
	Upstreams    []measured               `json:"upstreams"`
	Certificates []edge.CertificateStatus `json:"certificates"` // at most ten, by urgency
	Total        int                      `json:"certificates_total"`
}

type measured struct {
	edge.UpstreamStatus
	Rate float64 `json:"requests_per_second"`
}

func (t *top) run(ctx context.Context, once bool) error {
	if _, err := t.look(ctx); err != nil { // the first look has no rates
		return err
	}
	for {
		select {
		case <-time.After(t.interval):
		case <-ctx.Done():
			return nil
		}
		p, err := t.look(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if t.json {
			return printJSON(t.out, p)
		}
		var b bytes.Buffer
		if !once {
			b.WriteString("\x1b[H\x1b[2J") // to the corner, and nothing of before
		}
		p.print(&b)
		if _, err := t.out.Write(b.Bytes()); err != nil || once {
			return err
		}
	}
}

func (t *top) look(ctx context.Context) (*picture, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	s, err := t.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	p := &picture{Time: now, Version: s.Version, PID: s.PID, Total: len(s.Certificates)}
	for _, u := range s.Upstreams {
		p.Upstreams = append(p.Upstreams, measured{u, t.rates.Of(u.Site+" "+u.Address, u.Requests, now)})
	}
	p.Certificates = urgent(s.Certificates)
	p.Certificates = p.Certificates[:min(10, len(p.Certificates))]
	return p, nil
}

func (p *picture) print(w io.Writer) {
	fmt.Fprintf(w, "edge %s, PID %d, %s\n\n", p.Version, p.PID, p.Time.Format(time.TimeOnly))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "UPSTREAM\tSITE\tSTATE\tREQ/S\tIN USE\tQUEUED\tFAILURES\tLAST ERROR")
	for _, u := range p.Upstreams {
		state := u.State
		if state == "" {
			state = "up"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.1f\t%d\t%d\t%d\t%s\n", u.Address, u.Site, state, u.Rate, u.InUse, u.Queued, u.Failures, oneLine(u.LastError))
	}
	fmt.Fprintln(t, "\t\t\t\t\t\t\t")
	fmt.Fprintln(t, "CERTIFICATE\tSTATE\tDAYS LEFT\tLAST ERROR\t\t\t\t")
	for _, c := range p.Certificates {
		days := "-"
		if !c.NotAfter.IsZero() {
			days = fmt.Sprintf("%.1f", c.NotAfter.Sub(p.Time).Hours()/24)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\t\t\t\n", c.Name, c.State, days, oneLine(c.LastError))
	}
	t.Flush()
	if n := p.Total - len(p.Certificates); n > 0 {
		fmt.Fprintf(w, "and %d more\n", n)
	}
}

// oneLine keeps what others wrote from moving a terminal's cursor, and short.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 80 {
		return string(r[:79]) + "…"
	}
	return s
}
