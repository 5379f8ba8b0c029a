package proxmox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// local is this machine. What pvenode reads is in files that only root can read, whose
// names are always the same, so that a run that was killed leaves nothing for long.
type local struct{ o *Options }

func (l *local) address() string { return l.o.Address }

func (l *local) run(ctx context.Context, args ...string) (string, error) {
	out, err := l.o.Run(ctx, append([]string{l.o.Pvenode}, args...))
	if err != nil {
		return "", fmt.Errorf("proxmox: %w", err)
	}
	return out, nil
}

func (l *local) certificates(ctx context.Context) ([]certificate, error) {
	out, err := l.run(ctx, "cert", "info", "--output-format", "json")
	if err != nil {
		return nil, err
	}
	return parseCertificates([]byte(out))
}

func (l *local) acme(ctx context.Context) (string, bool, error) {
	out, err := l.run(ctx, "config", "get")
	if err != nil {
		return "", false, err
	}
	return orders(parseConfig(out)), true, nil
}

// parseConfig reads a node's configuration, "name: value" a line.
func parseConfig(text string) map[string]string {
	config := map[string]string{}
	for line := range strings.Lines(text) {
		if name, v, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") {
			config[strings.TrimSpace(name)] = strings.TrimSpace(v)
		}
	}
	return config
}

func (l *local) set(ctx context.Context, chain, key []byte, force bool) (err error) {
	if l.o.State == "" {
		return errors.New("proxmox: there is no folder for the files that pvenode reads")
	}
	if err := l.o.Durable.Mkdir(l.o.State, 0o700); err != nil {
		return fmt.Errorf("proxmox: %w", err)
	}
	chainFile, keyFile := filepath.Join(l.o.State, ".pvenode-chain.pem"), filepath.Join(l.o.State, ".pvenode-key.pem")
	defer func() { err = errors.Join(err, l.o.Durable.Remove(keyFile), l.o.Durable.Remove(chainFile)) }()
	if err := l.o.Durable.WriteFile(chainFile, chain, 0o600); err != nil {
		return fmt.Errorf("proxmox: %w", err)
	}
	if err := l.o.Durable.WriteFile(keyFile, key, 0o600); err != nil {
		return fmt.Errorf("proxmox: %w", err)
	}
	args := []string{"cert", "set", chainFile, keyFile}
	if force {
		args = append(args, "--force", "1")
	}
	if l.o.Restart {
		args = append(args, "--restart", "1")
	}
	_, err = l.run(ctx, args...)
	return err
}

func (l *local) remove(ctx context.Context) error {
	args := []string{"cert", "delete"}
	if l.o.Restart {
		args = append(args, "1")
	}
	_, err := l.run(ctx, args...)
	return err
}
