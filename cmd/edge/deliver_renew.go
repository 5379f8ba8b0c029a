package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"edge/installers/delivery"
	"edge/internal/config"
)

// deliver makes the deliveries that are due, at the end of a renewal: of what was
// renewed, and of all that an earlier run did not bring to its place. Called as
// certbot, edge does what certbot would. The caller has certbot's locks of the work
// folder, and none of a server's folder any more.
func (c *client) deliver(ctx context.Context) error {
	if c.asCertbot || c.o.DryRun || c.o.Verb != "renew" {
		return nil
	}
	if _, err := os.Stat(c.o.EdgeConfig); errors.Is(err, os.ErrNotExist) && !c.o.IsSet("edge_config") {
		return nil
	}
	cfg, err := config.LoadTrusted(c.o.EdgeConfig)
	if err != nil {
		return fmt.Errorf("deliveries of the configuration: %w", err)
	}
	d := &deliveries{
		cfg: cfg, state: deliverState, tree: c.o.ConfigDir, work: c.o.WorkDir,
		lockTimeout: c.o.LockTimeout, log: c.logger, workLocked: true, backOff: true,
	}
	if c.o.ConfigDir != letsencrypt { // a tree of somebody's own has records of its own
		d.state = filepath.Join(c.o.WorkDir, "edge", "deliver")
	}
	d.textfile = deliverTextfile(d.state)
	if c.o.CertName != "" {
		d.only = map[string]bool{c.o.CertName: true}
	}
	results, err := d.apply(ctx)
	if err != nil {
		return err
	}
	return c.sayDelivered(results)
}

// sayDelivered tells of what was done; the error has what failed.
func (c *client) sayDelivered(results []delivery.Result) error {
	var failed []string
	for i := range results {
		r := &results[i]
		switch {
		case !r.OK():
			failed = append(failed, title(r)+": "+r.Error)
		case r.Later != "":
			c.display.Notify(title(r)+": "+r.Later, false)
		case r.Changed:
			c.display.Notify(title(r)+", delivered now", false)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d deliveries failed; edge deliver plan shows what is to be done, and the next run tries again:\n%s",
		len(failed), len(results), strings.Join(failed, "\n"))
}
