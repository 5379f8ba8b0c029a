package certbotcli

import (
	"io/fs"
	"slices"
	"time"
)

// Options are certbot's settings of one run. The tag is certbot's own word, the
// "dest", by which IsSet and Source ask, and under which renewal files have it.
// A string that nobody set, and that has no default, is empty.
type Options struct {
	Verb string // certbot's: "certonly", never "auth"

	ConfigFile           string `cli:"config_file"`
	VerboseCount         int    `cli:"verbose_count"` // -v's
	VerboseLevel         int    `cli:"verbose_level"` // where set, in the place of the count
	TextMode             bool   `cli:"text_mode"`
	MaxLogBackups        int    `cli:"max_log_backups"` // 0: append to one file
	PreconfiguredRenewal bool   `cli:"preconfigured_renewal"`
	NonInteractive       bool   `cli:"noninteractive_mode"` // also by renew and --quiet
	ForceInteractive     bool   `cli:"force_interactive"`

	Domains  []string `cli:"domains"`      // lower case, each once
	IPs      []string `cli:"ip_addresses"` // in the form of RFC 5952, each once
	CertName string   `cli:"certname"`

	EABKID     string `cli:"eab_kid"`
	EABHMACKey string `cli:"eab_hmac_key"` // secret
	EABHMACAlg string `cli:"eab_hmac_alg"`

	DryRun                       bool   `cli:"dry_run"`
	RunDeployHooks               bool   `cli:"run_deploy_hooks"`
	RegisterUnsafelyWithoutEmail bool   `cli:"register_unsafely_without_email"`
	UpdateRegistration           bool   `cli:"update_registration"` // certbot 0.19's register --update-registration
	Email                        string `cli:"email"`               // as written: several with commas
	EFFEmail                     Tri    `cli:"eff_email"`
	Reinstall                    bool   `cli:"reinstall"` // --keep-until-expiring
	Expand                       bool   `cli:"expand"`
	ForceRenewal                 bool   `cli:"renew_by_default"`
	RenewWithNewDomains          bool   `cli:"renew_with_new_domains"`
	ReuseKey                     bool   `cli:"reuse_key"`
	NewKey                       bool   `cli:"new_key"`
	AllowSubsetOfNames           bool   `cli:"allow_subset_of_names"`
	AgreeTOS                     bool   `cli:"tos"`
	Account                      string `cli:"account"`
	Duplicate                    bool   `cli:"duplicate"`
	Quiet                        bool   `cli:"quiet"`
	Staging                      bool   `cli:"staging"` // also by --dry-run; Server is the staging CA then
	Debug                        bool   `cli:"debug"`
	DebugChallenges              bool   `cli:"debug_challenges"`
	NoVerifySSL                  bool   `cli:"no_verify_ssl"`

	HTTP01Port     int    `cli:"http01_port"`
	HTTP01Address  string `cli:"http01_address"` // empty: all
	HTTPSPort      int    `cli:"https_port"`     // what installers write; no challenge port
	TLSSNI01Port   int    `cli:"tls_sni_01_port"`
	TLSSNI01Addr   string `cli:"tls_sni_01_address"` // empty: all
	BreakMyCerts   bool   `cli:"break_my_certs"`
	RSAKeySize     int    `cli:"rsa_key_size"`   // bits
	KeyType        string `cli:"key_type"`       // rsa or ecdsa
	EllipticCurve  string `cli:"elliptic_curve"` // secp256r1, secp384r1, secp521r1
	MustStaple     bool   `cli:"must_staple"`
	Redirect       Tri    `cli:"redirect"`
	HSTS           Tri    `cli:"hsts"`
	UIR            Tri    `cli:"uir"`
	Staple         Tri    `cli:"staple"` // also by --must-staple
	StrictPerms    bool   `cli:"strict_permissions"`
	RequiredProf   string `cli:"required_profile"`
	PreferredProf  string `cli:"preferred_profile"`
	PreferredChain string `cli:"preferred_chain"` // common name

	PrefChallenges  []string      `cli:"pref_challs"` // edge.ChallengeType values, best first
	IssuanceTimeout time.Duration `cli:"issuance_timeout"`

	PreHook  string `cli:"pre_hook"`
	PostHook string `cli:"post_hook"`
	// DeployHook is for this run and later ones, RenewHook, where only it is set,
	// for later ones. --deploy-hook sets both; renewal files have renew_hook.
	DeployHook          string `cli:"deploy_hook"`
	RenewHook           string `cli:"renew_hook"`
	RandomSleepOnRenew  bool   `cli:"random_sleep_on_renew"`
	ValidateHooks       bool   `cli:"validate_hooks"`
	DirectoryHooks      bool   `cli:"directory_hooks"`
	DisableRenewUpdates bool   `cli:"disable_renew_updates"`
	Autorenew           bool   `cli:"autorenew"`
	AutoHSTS            bool   `cli:"auto_hsts"`

	UserAgent         string   `cli:"user_agent"` // set and empty: tell nothing
	UserAgentComment  string   `cli:"user_agent_comment"`
	CSR               *CSR     `cli:"csr"`
	Reason            int      `cli:"reason"` // RFC 5280 section 5.3.1
	DeleteAfterRevoke Tri      `cli:"delete_after_revoke"`
	Checkpoints       int      `cli:"checkpoints"`
	Init              bool     `cli:"init"`
	Prepare           bool     `cli:"prepare"`
	Ifaces            []string `cli:"ifaces"` // of the verb plugins: "Authenticator", "Installer"

	CertPath      string `cli:"cert_path"` // these four: absolute, or empty
	KeyPath       string `cli:"key_path"`
	FullchainPath string `cli:"fullchain_path"`
	ChainPath     string `cli:"chain_path"`
	ConfigDir     string `cli:"config_dir"` // these three: absolute
	WorkDir       string `cli:"work_dir"`
	LogsDir       string `cli:"logs_dir"`
	Server        string `cli:"server"`

	Plugins
	Own

	// Warnings are for the log: flags that do nothing any more.
	Warnings []string
	// Unknown are parameters of a renewal file that belong to plugins which edge
	// does not have; they are saved again as they were.
	Unknown []Param

	*schema
	source   map[string]Source // of each dest that was set
	restored map[string]bool   // edge's own that the renewal file has
	empty    map[string]string // how a renewal file has a string that is empty: "" or None
	env      Env
}

// Plugins are which plugins to use, and their settings.
type Plugins struct {
	Configurator  string `cli:"configurator"`
	Authenticator string `cli:"authenticator"` // as said by -a; see Requested
	Installer     string `cli:"installer"`

	Apache          bool `cli:"apache"`
	Nginx           bool `cli:"nginx"`
	Standalone      bool `cli:"standalone"`
	Manual          bool `cli:"manual"`
	Webroot         bool `cli:"webroot"`
	DNSCloudflare   bool `cli:"dns_cloudflare"`
	DNSDigitalOcean bool `cli:"dns_digitalocean"`
	DNSDNSimple     bool `cli:"dns_dnsimple"`
	DNSDNSMadeEasy  bool `cli:"dns_dnsmadeeasy"`
	DNSGehirn       bool `cli:"dns_gehirn"`
	DNSGoogle       bool `cli:"dns_google"`
	DNSLinode       bool `cli:"dns_linode"`
	DNSLuaDNS       bool `cli:"dns_luadns"`
	DNSNSOne        bool `cli:"dns_nsone"`
	DNSOVH          bool `cli:"dns_ovh"`
	DNSRFC2136      bool `cli:"dns_rfc2136"`
	DNSRoute53      bool `cli:"dns_route53"`
	DNSSakuraCloud  bool `cli:"dns_sakuracloud"`
	Edge            bool `cli:"edge"` // the front door of this machine

	ApacheEnmod             string `cli:"apache_enmod"`
	ApacheDismod            string `cli:"apache_dismod"`
	ApacheLEVhostExt        string `cli:"apache_le_vhost_ext"`
	ApacheServerRoot        string `cli:"apache_server_root"`
	ApacheVhostRoot         string `cli:"apache_vhost_root"`
	ApacheLogsRoot          string `cli:"apache_logs_root"`
	ApacheChallengeLocation string `cli:"apache_challenge_location"`
	ApacheHandleModules     string `cli:"apache_handle_modules"` // "True" or "False"
	ApacheHandleSites       string `cli:"apache_handle_sites"`   // likewise
	ApacheCtl               string `cli:"apache_ctl"`
	ApacheBin               string `cli:"apache_bin"`

	CloudflarePropagation time.Duration `cli:"dns_cloudflare_propagation_seconds"`
	CloudflareCredentials string        `cli:"dns_cloudflare_credentials"` // absolute
	RFC2136Propagation    time.Duration `cli:"dns_rfc2136_propagation_seconds"`
	RFC2136Credentials    string        `cli:"dns_rfc2136_credentials"` // absolute

	ManualAuthHook    string `cli:"manual_auth_hook"`
	ManualCleanupHook string `cli:"manual_cleanup_hook"`

	NginxServerRoot string        `cli:"nginx_server_root"`
	NginxCtl        string        `cli:"nginx_ctl"`
	NginxSleep      time.Duration `cli:"nginx_sleep_seconds"`

	WebrootPath []string   `cli:"webroot_path"` // absolute, as given; the last is for names without one
	WebrootMap  WebrootMap `cli:"webroot_map"`

	Targets TargetSettings
}

// Own are edge's own settings, which certbot does not know.
type Own struct {
	TLSALPN01Port int           `cli:"tls_alpn_01_port"`
	NoPreflight   bool          `cli:"no_preflight"`
	LockTimeout   time.Duration `cli:"lock_timeout"` // 0: do not wait
	HookTimeout   time.Duration `cli:"hook_timeout"` // 0: none
	StrictHooks   bool          `cli:"strict_hooks"`
	OnFailureHook string        `cli:"on_failure_hook"`
	KeyGroup      string        `cli:"key_group"`    // name or number; empty: as certbot
	KeyMode       fs.FileMode   `cli:"key_mode"`     // 0: as certbot
	Output        string        `cli:"output"`       // text or json
	Plan          bool          `cli:"plan"`         // show what would be changed in a server, and stop
	CopyDefault   bool          `cli:"copy_default"` // for names that no server block has
	Force         bool          `cli:"force"`        // of rollback: also what was changed since
	AdminSocket   string        `cli:"admin_socket"`
	EdgeConfig    string        `cli:"edge_config"`
}

// Source says who set an option.
type Source int

// The sources, each stronger than those before it.
const (
	Default Source = iota
	File           // cli.ini, or --config
	CommandLine
)

func (s Source) String() string {
	return [...]string{"default", "config file", "command line"}[s]
}

// Tri is a choice that may be left open.
type Tri int8

// The choices.
const (
	Unset Tri = iota
	No
	Yes
)

// Or is what was chosen, or the default given.
func (t Tri) Or(otherwise bool) bool {
	if t == Unset {
		return otherwise
	}
	return t == Yes
}

// modifiedBy is certbot's VAR_MODIFIERS: options that change others.
func modifiedBy(dest string) []string {
	switch dest {
	case "account":
		return []string{"server"}
	case "renew_hook":
		return []string{"deploy_hook"}
	case "server":
		return []string{"dry_run", "staging"}
	case "webroot_map":
		return []string{"webroot_path"}
	case "installer":
		return []string{"configurator", "nginx", "apache"}
	case "authenticator":
		return slices.Concat([]string{"configurator"}, selectors())
	}
	return nil
}

// Source says where an option comes from, by certbot's word for it. An option
// that others imply (server by --staging, authenticator by --nginx) comes from
// where those do.
func (o *Options) Source(dest string) Source {
	s := o.source[dest]
	for _, m := range modifiedBy(dest) {
		s = max(s, o.Source(m))
	}
	return s
}

// IsSet reports whether somebody asked for it now, on the command line or in
// cli.ini, be it for what is the default (certbot: set_by_cli).
func (o *Options) IsSet(dest string) bool { return o.Source(dest) != Default }

// Clone returns a copy that shares nothing that changes.
func (o *Options) Clone() *Options {
	c := *o
	c.Domains, c.IPs = slices.Clone(o.Domains), slices.Clone(o.IPs)
	c.PrefChallenges, c.Ifaces = slices.Clone(o.PrefChallenges), slices.Clone(o.Ifaces)
	c.WebrootPath, c.WebrootMap = slices.Clone(o.WebrootPath), slices.Clone(o.WebrootMap)
	c.Targets = o.Targets.clone()
	c.Warnings, c.Unknown = slices.Clone(o.Warnings), slices.Clone(o.Unknown)
	return &c
}
