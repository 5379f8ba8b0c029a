package certbotcli

import (
	"fmt"
	"io/fs"
	"reflect"
	"strconv"
	"strings"
	"time"

	"edge/installers/target"
)

// The CAs that certbot knows by name.
const (
	DefaultServer = "https://acme-v02.api.letsencrypt.org/directory"
	StagingServer = "https://acme-staging-v02.api.letsencrypt.org/directory"
	oldServer     = "https://acme-v01.api.letsencrypt.org/directory"
)

// schema ties the table to the fields of Options. It does not change.
type schema struct {
	flags    []Flag
	kinds    []target.Kind
	fields   map[string][]int // dest -> field
	defaults *Options
}

func newSchema(env Env) *schema {
	kinds := env.kinds()
	s := &schema{flags: table(kinds), kinds: kinds, fields: map[string][]int{}, defaults: defaults(env)}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Options]()) {
		if dest, ok := f.Tag.Lookup("cli"); ok {
			s.fields[dest] = f.Index
		}
	}
	for dest, value := range env.Defaults {
		if v := s.field(s.defaults, dest); v.IsValid() && v.Kind() == reflect.String {
			v.SetString(value)
		}
	}
	for i := range s.flags {
		f := &s.flags[i]
		if f.setting != nil {
			continue
		}
		f.Default = format(s.field(s.defaults, f.Dest))
		switch {
		case f.act.kind == kindFalse: // that of its opposite
			f.Default = ""
		case f.Dest == "reason":
			f.Default = reasonNames()[0]
		}
	}
	return s
}

// field is the field of a dest, or the zero Value.
func (s *schema) field(o *Options, dest string) reflect.Value {
	if index, ok := s.fields[dest]; ok {
		return reflect.ValueOf(o).Elem().FieldByIndex(index)
	}
	return reflect.Value{}
}

// isDefault reports whether an option has its default value.
func (s *schema) isDefault(o *Options, dest string) bool {
	a, b := s.field(o, dest), s.field(s.defaults, dest)
	return !a.IsValid() || reflect.DeepEqual(a.Interface(), b.Interface()) || a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0
}

// defaults are certbot's on Linux (constants.py), and edge's own.
func defaults(env Env) *Options {
	o := &Options{
		MaxLogBackups: 1000, HTTP01Port: 80, HTTPSPort: 443, TLSSNI01Port: 443,
		RSAKeySize: 2048, KeyType: "ecdsa", EllipticCurve: "secp256r1", EABHMACAlg: "HS256",
		IssuanceTimeout: 90 * time.Second, RandomSleepOnRenew: true, ValidateHooks: true, DirectoryHooks: true, Autorenew: true,
		Checkpoints: 1, Server: DefaultServer,
		ConfigDir: "/etc/letsencrypt", WorkDir: "/var/lib/letsencrypt", LogsDir: "/var/log/letsencrypt",
		env: env,
	}
	o.Plugins = Plugins{
		ApacheEnmod: "a2enmod", ApacheDismod: "a2dismod", ApacheLEVhostExt: "-le-ssl.conf", ApacheServerRoot: "/etc/apache2",
		ApacheLogsRoot: "/var/log/apache2", ApacheChallengeLocation: "/etc/apache2",
		ApacheHandleModules: "True", ApacheHandleSites: "True", ApacheCtl: "apache2ctl",
		NginxServerRoot: "/etc/nginx", NginxCtl: "nginx", NginxSleep: time.Second,
		CloudflarePropagation: 10 * time.Second, RFC2136Propagation: 60 * time.Second,
	}
	o.Own = Own{TLSALPN01Port: 443, Output: "text", AdminSocket: "/run/edge/admin.sock", EdgeConfig: "/etc/edge/edge.yaml"}
	if !env.AsCertbot {
		o.StrictHooks, o.LockTimeout = true, time.Minute
	}
	return o
}

// format is a value as certbot writes it: seconds as a number, True, False.
func format(v reflect.Value) string {
	if !v.IsValid() {
		return ""
	}
	switch x := v.Interface().(type) {
	case string:
		return x
	case int:
		return strconv.Itoa(x)
	case bool:
		if x {
			return "True"
		}
		return "False"
	case Tri:
		if x == Unset {
			return ""
		}
		return format(reflect.ValueOf(x == Yes))
	case time.Duration:
		return strconv.FormatInt(int64(x/time.Second), 10)
	case fs.FileMode:
		return formatMode(x)
	case []string:
		return strings.Join(x, ",")
	}
	return ""
}

// formatMode is a mode in octal; 0 is none.
func formatMode(m fs.FileMode) string {
	if m == 0 {
		return ""
	}
	return fmt.Sprintf("%#o", uint32(m))
}
