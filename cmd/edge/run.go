package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"edge/internal/admin"
	"edge/internal/config"
)

// serve runs a front door until a signal or ctx ends it, or another process has
// taken its place. From is the process whose place it takes, or nil.
func serve(ctx context.Context, cfg *config.Config, source func() (*config.Config, error), log *slog.Logger, level *slog.LevelVar, from *predecessor) error {
	d, err := newDoor(cfg, source, log)
	if err != nil {
		return err
	}
	d.level, d.from, d.program = level, from, programPath()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	// Whoever reads the log may end: that must not end the door as well.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	return d.run(ctx, cfg, signals)
}

// run brings the door up, keeps it up, and takes it down.
func (d *door) run(ctx context.Context, cfg *config.Config, signals <-chan os.Signal) error {
	var wg sync.WaitGroup
	bg, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer wg.Wait()
	defer cancel()

	if err := d.come(cfg); err != nil {
		return err
	}
	d.metrics.ConfigReload(true, time.Now())
	wg.Go(func() { d.manager.Run(bg) })
	wg.Go(func() {
		if err := d.socket.Serve(bg); err != nil && !errors.Is(err, context.Canceled) {
			d.log.Error("admin socket ended", "error", err)
		}
	})
	wg.Go(func() { d.spool(bg) })
	main, leave := context.WithCancel(bg) // while this is the main process of the service
	wg.Go(func() { watchdog(main, d.log) })
	defer leave()
	d.announce(cfg)
	notify(d.log, daemon.SdNotifyReady)

	for {
		select {
		case <-ctx.Done():
			return d.stop(signals)
		case s := <-d.replaced:
			leave()
			return d.retire(signals, s)
		case s := <-signals:
			switch s {
			case syscall.SIGUSR2:
				wg.Go(func() { _, _ = d.Upgrade() }) // it logs what came of it
			case syscall.SIGHUP:
				// Errors are logged; whoever wants to wait for them uses edge reload.
				if err := d.Reload(ctx); err != nil {
					d.log.Error("reload failed", "error", err)
				}
			case syscall.SIGUSR1:
				if err := d.access.Reopen(); err != nil {
					d.log.Error("reopen the access log", "error", err)
				}
			default:
				return d.stop(signals)
			}
		}
	}
}

// come brings the door up, in the place of another process if there is one.
func (d *door) come(cfg *config.Config) error {
	o, err := d.adminOptions(cfg)
	if err != nil {
		return err
	}
	if d.socket, err = admin.Listen(o); err != nil {
		return err
	}
	if err = d.apply(cfg); err == nil {
		err = d.takePlace()
	}
	if err != nil && d.from != nil {
		d.socket.Leave() // to the process that goes on
	} else if err != nil {
		d.socket.Close()
	}
	return err
}

// stop drains and ends.
func (d *door) stop(signals <-chan os.Signal) error {
	d.ready.Store(false)
	notify(d.log, daemon.SdNotifyStopping)
	d.log.Info("draining", "limit", d.live.Load().cfg.Limits.Drain.String())
	return d.drain(signals, 1, d.server.Shutdown)
}

// drain ends the door by end. So many signals to end cut what is left.
func (d *door) drain(signals <-chan os.Signal, cut int, end func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGTERM && s != os.Interrupt {
					continue
				}
				if cut--; cut == 0 {
					d.log.Warn("another signal: closing what is left")
					cancel()
					return
				}
			case <-done:
				return
			}
		}
	}()
	if err := end(ctx); err != nil {
		d.log.Warn("drained incompletely", "error", err)
	}
	d.side.close()
	d.spans.close()
	return d.access.Close()
}

// announce says where the door listens, once it does.
func (d *door) announce(cfg *config.Config) {
	for _, a := range d.server.Addrs() {
		d.log.Info("listening", "listener", a.Listener, "address", a.Addr.String())
	}
	d.log.Info("ready", "version", version, "sites", len(cfg.Sites), "admin", cfg.Admin.Socket, "metrics", cfg.Metrics.Listen)
}

// notify tells systemd, where edge was started by it.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("notify the service manager", "error", err)
	}
}

// watchdog answers systemd's WatchdogSec at half its interval.
func watchdog(ctx context.Context, log *slog.Logger) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			notify(log, daemon.SdNotifyWatchdog)
		}
	}
}

var errNotReady = errors.New("not ready")

// readiness says why the door is not ready; nil means that it is.
func (d *door) readiness() error {
	if !d.ready.Load() {
		return fmt.Errorf("%w: starting or draining", errNotReady)
	}
	return nil
}
