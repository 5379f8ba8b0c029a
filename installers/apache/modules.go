package apache

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
)

// needModules turns modules on that are not loaded yet, with those that they need.
// Each is a command of its own, so that undoing takes back what was turned on, and
// nothing else.
func (p *planner) needModules(names ...string) error {
	for _, name := range names {
		if p.have[name+"_module"] {
			continue
		}
		if !p.modules {
			if name == "socache_shmcb" {
				continue // mod_ssl does without
			}
			if name == "ssl" {
				return certbots("Could not find ssl_module; not installing certificate.")
			}
			return certbots("Apache needs to have module  %q active for the requested installation options. Unfortunately Certbot is unable to install or enable it for you. Please install the module, and run Certbot again.", name)
		}
		for _, m := range append(p.dependencies(name), name) {
			if err := p.enableModule(m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *planner) enableModule(name string) error {
	if p.have[name+"_module"] || slices.ContainsFunc(p.plan.Commands, func(c installers.Command) bool { return c.Do[len(c.Do)-1] == name }) {
		return nil
	}
	for _, folder := range []string{"mods-available", "mods-enabled"} {
		if info, err := os.Stat(filepath.Join(p.serverRoot, folder)); err != nil || !info.IsDir() {
			return certbots("Unsupported directory layout. You may try to enable mod %s and try again.", name)
		}
	}
	if _, err := os.Stat(filepath.Join(p.serverRoot, "mods-available", name+".load")); err != nil {
		return fmt.Errorf("enable the module %s: %w; install it", name, err)
	}
	enmod, err := findProgram(p.enmod)
	if err != nil {
		return fmt.Errorf("enable the module %s: find %s: %w", name, p.enmod, err)
	}
	dismod, err := findProgram(p.dismod)
	if err != nil {
		return certbots("Unable to find a2dismod, please make sure a2enmod and a2dismod are configured correctly for certbot.")
	}
	var env []string
	if p.ownRoot {
		env = []string{"env", "APACHE_CONFDIR=" + p.serverRoot}
	}
	p.plan.Commands = append(p.plan.Commands, installers.Command{
		Do:   append(slices.Clone(env), enmod, name),
		Undo: append(slices.Clone(env), dismod, "-f", name),
	})
	p.plan.Notes = append(p.plan.Notes, "Enable Apache's module "+name)
	return nil
}

// dependencies are the modules that a module's file of Debian says it needs.
func (p *planner) dependencies(name string) []string {
	src, err := readRegular(filepath.Join(p.serverRoot, "mods-available", name+".load"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(src)) {
		if rest, ok := strings.CutPrefix(line, "# Depends:"); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}
