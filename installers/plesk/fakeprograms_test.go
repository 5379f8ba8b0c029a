package plesk

import (
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bin is `plesk bin`.
func (f *fake) bin(args []string) (stdout, stderr string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := strings.Join(args, " ")
	f.calls = append(f.calls, line)
	flags := map[string]string{}
	for i := 4; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	site := flags["-domain"]
	if len(args) > 3 && args[1] == "site" {
		site = args[3]
	}
	if f.broken || len(args) < 4 || args[0] != "bin" || len(args) > 4 && len(args)%2 != 0 && args[2] != "-l" {
		return "", "An error occurred while executing: " + line, 1
	}
	if args[2] == "-l" {
		site = args[4]
	}
	d := f.domains[site]
	if d == nil {
		return "", "Domain '" + site + "' does not exist.\n", 2
	}
	result := ""
	switch strings.Join(args[1:3], " ") {
	case "site --info":
		return fmt.Sprintf("General\n=============================\nDomain name:   %s\nSSL/TLS support:                        %s\nSSL/TLS certificate:                    %s\nWWW root: /httpdocs\nSUCCESS: Gathering information for '%s' complete\n", site, map[bool]string{true: "On", false: "Off"}[d.ssl], d.certificate, site), "", 0
	case "site -u":
		name := flags["-certificate-name"]
		if name == "" {
			name = d.certificate
		}
		result = f.assign(site, name, flags["-ssl"] == "true")
	case "certificate -l":
		return "0  R  " + strings.Join(slices.Sorted(maps.Keys(d.pool)), "  no\n0  R  ") + "  no\n", "", 0
	case "certificate -r":
		result = f.remove(site, args[3])
	case "certificate -c", "certificate -u":
		var p pems
		for flag, to := range map[string]*[]byte{"-key-file": &p.key, "-cert-file": &p.leaf, "-cacert-file": &p.chain} {
			info, err := os.Stat(flags[flag])
			if err != nil || info.Mode().Perm() != 0o600 {
				return "", "cannot read, or others can: " + flag, 1
			}
			*to, _ = os.ReadFile(flags[flag])
		}
		result = f.store(site, args[3], p, args[2] == "-u")
	default:
		return "", "unknown command " + line, 1
	}
	if result != ok {
		return "", result, 1
	}
	return "SUCCESS\n", "", 0
}

// filemng does what it is told as the owner of a site.
func (f *fake) filemng(args []string) (stdout, stderr string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail := func(err error) (string, string, int) { return "", fmt.Sprint("filemng: ", err, "\n"), 1 }
	root := ""
	for name, d := range f.domains {
		if len(args) > 2 && d.login == args[0] {
			root = f.root(name)
		}
	}
	last := args[len(args)-1]
	if len(args) > 3 && args[1] == "cp2perm" {
		last = args[3]
	}
	if root == "" || !strings.HasPrefix(last, root+"/") || filepath.Clean(last) != last {
		return fail(fmt.Errorf("%q is not of the user", args))
	}
	f.calls = append(f.calls, "filemng "+args[1])
	switch {
	case args[1] == "file_exists" && len(args) == 3:
		if _, err := os.Lstat(last); err != nil {
			return "1\n", "", 0
		}
		return "0\n", "", 0
	case args[1] == "mkdir" && len(args) == 4 && args[2] == "-p":
		if err := os.MkdirAll(last, 0o755); err != nil {
			return fail(err)
		}
	case args[1] == "cp2perm" && len(args) == 5 && args[4] == "0644":
		raw, err := os.ReadFile(args[2])
		if err == nil {
			err = os.WriteFile(last, raw, 0o644)
		}
		if err != nil {
			return fail(err)
		}
	case args[1] == "list" && len(args) == 4 && args[2] == "both":
		list, err := os.ReadDir(last)
		if err != nil {
			return fail(err)
		}
		stdout = ". drwxr-xr-x\n.. drwxr-xr-x\n"
		for _, e := range list {
			stdout += e.Name() + " -rw-r--r-- 1 x y\n"
		}
		return stdout, "", 0
	case (args[1] == "rm" || args[1] == "rmdir") && len(args) == 3:
		if err := os.Remove(last); err != nil {
			return fail(err)
		}
	default:
		return fail(fmt.Errorf("unknown: %q", args))
	}
	return "", "", 0
}

func (f *fake) certmng(args []string) (stdout, stderr string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(args) != 2 || args[0] != "--setup-cp-certificate" || !strings.HasPrefix(args[1], "--certificate=") {
		return "", "unknown", 1
	}
	raw, err := os.ReadFile(strings.TrimPrefix(args[1], "--certificate="))
	if err != nil {
		return "", err.Error(), 1
	}
	if _, err := tls.X509KeyPair(raw, raw); err != nil {
		return "", err.Error(), 1
	}
	f.panel = raw
	return "", "", 0
}
