package conf

import "strings"

// sources are the modules of httpd whose source is not named after them.
var sources = map[string]string{
	"core.c": "core_module", "http_core.c": "http_module", "event.c": "mpm_event_module",
	"worker.c": "mpm_worker_module", "prefork.c": "mpm_prefork_module", "itk.c": "mpm_itk_module",
	"mpm_itk.c": "mpm_itk_module", "util_ldap.c": "ldap_module", "mod_mime_magic.c": "mime_magic_module",
	"libphp.c": "php_module", "mod_tls.c": "tls_module",
}

// moduleName returns a module's own name for that of its source: "ssl_module" for
// "mod_ssl.c". Any other name stays.
func moduleName(name string) string {
	if own, ok := sources[name]; ok {
		return own
	}
	if rest, ok := strings.CutPrefix(name, "mod_"); ok && strings.HasSuffix(rest, ".c") {
		return strings.TrimSuffix(rest, ".c") + "_module"
	}
	return name
}
