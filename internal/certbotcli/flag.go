package certbotcli

import (
	"slices"
	"strings"

	"edge/installers/target"
)

// Flag is one entry of the table: what may be said, and what it is called.
type Flag struct {
	Names   []string // as on the command line: "-d", "--domains"; argparse's order
	Dest    string   // certbot's word for the option; of IsSet, and of renewal files
	Arg     string   // name of its value in help; empty: it takes none
	Choices []string // the values there are; nil: any
	Default string   // for people
	Topics  []string // of help, the first is its home; none: the general options
	Hidden  bool     // not in help, as in certbot's
	Origin  Origin
	Help    string
	Kind    string // of the target whose setting it is; empty for all others
	// Old are further names, which nobody is told of: those of the plugin that certbot
	// had for the target.
	Old []string

	act     action
	setting *target.Setting
}

// Origin says which program knows a flag.
type Origin int

// The origins.
const (
	Certbot   Origin = iota // Debian's 2.1 and later
	Certbot5                // later than 2.1
	Certbot0                // gone since 0.19; accepted
	EdgesOwn                // no certbot
	abandoned               // still in 2.1, where it does nothing
)

func (o Origin) String() string {
	return [...]string{"certbot", "certbot 5", "certbot 0.19", "edge", "certbot, does nothing"}[o]
}

// Long returns the first name with two dashes.
func (f *Flag) Long() string {
	if i := slices.IndexFunc(f.Names, func(n string) bool { return strings.HasPrefix(n, "--") }); i >= 0 {
		return f.Names[i]
	}
	return f.Names[0]
}

// Flags returns the table in certbot's order, in which renewal files have their
// parameters as well.
func Flags() []Flag { return newSchema(Env{}).flags }

func table(kinds []target.Kind) []Flag {
	flags := slices.Concat(generalFlags(), nameFlags(), automationFlags(), testingFlags(), securityFlags(),
		orderFlags(), hookFlags(), goneFlags(), verbFlags(), pathFlags(), selectorFlags(), pluginFlags(), ownFlags(), targetFlags(kinds))
	for i := range flags {
		f := &flags[i]
		if f.Dest == "" {
			f.Dest = destOf(f.Long())
		}
		if f.Arg == "" && f.act.takesValue {
			f.Arg = strings.ToUpper(f.Dest)
			if f.Choices != nil {
				f.Arg = "{" + strings.Join(f.Choices, ",") + "}"
			}
		}
	}
	return flags
}

// on makes lists in the tables readable.
func on(s ...string) []string { return s }

func generalFlags() []Flag {
	return []Flag{
		{Names: on("-h", "--help"), act: askHelp, Help: "show help, or that of a topic"},
		{Names: on("-c", "--config"), Dest: "config_file", act: store,
			Help: "read this configuration file as well; it comes before the others"},
		{Names: on("-v", "--verbose"), Dest: "verbose_count", act: count, Help: "say more; may be repeated: -vv"},
		{Names: on("--verbose-level"), act: store, Hidden: true, Help: "how much to say, as a number, for cli.ini"},
		{Names: on("-t", "--text"), Dest: "text_mode", act: setTrue, Hidden: true, Help: "does nothing any more"},
		{Names: on("--max-log-backups"), act: storeCount, Help: "how many old log files to keep; 0 appends to one file without end"},
		{Names: on("--preconfigured-renewal"), act: setTrue, Hidden: true, Help: "for packagers: renewal is set up already"},
		{Names: on("-n", "--non-interactive", "--noninteractive"), Dest: "noninteractive_mode", act: setTrue,
			Topics: on("", "automation", "run", "certonly", "enhance"),
			Help:   "never ask; fail, and name the missing flag, where an answer is needed"},
		{Names: on("--force-interactive"), act: setTrue, Topics: on("", "register", "run", "certonly", "enhance"),
			Help: "ask also where no terminal is seen; not with renew"},
	}
}

func nameFlags() []Flag {
	return []Flag{
		{Names: on("-d", "--domains", "--domain"), Dest: "domains", Arg: "DOMAIN", act: addDomain,
			Topics: on("", "run", "certonly", "certificates", "enhance"),
			Help:   "name for the certificate; repeat it, or use commas. The first one also names the lineage, unless --cert-name does"},
		{Names: on("--ip-address"), Dest: "ip_addresses", Arg: "IP_ADDRESS", act: addIP, Origin: Certbot5,
			Topics: on("", "certonly", "certificates"),
			Help:   "IP address for the certificate; may be repeated. The CA may want --preferred-profile shortlived"},
		{Names: on("--eab-kid"), act: store, Topics: on("", "run", "certonly", "register"),
			Help: "identifier of the CA's account that this one belongs to (external account binding)"},
		{Names: on("--eab-hmac-key"), act: store, Topics: on("", "run", "certonly", "register"),
			Help: "key of the external account binding, base64url"},
		{Names: on("--eab-hmac-alg"), act: store, Origin: Certbot5, Topics: on("", "run", "certonly", "register"),
			Choices: on("HS256", "HS384", "HS512"), Arg: "EAB_HMAC_ALG", Help: "algorithm of the external account binding"},
		{Names: on("--cert-name"), Dest: "certname", act: store,
			Topics: on("", "run", "certonly", "manage", "delete", "certificates", "renew", "enhance", "reconfigure"),
			Help:   "name of the lineage: of its folder and files, not in the certificate. \"certificates\" lists those there are"},
		{Names: on("--dry-run"), act: setTrue, Topics: on("", "testing", "renew", "certonly", "reconfigure"),
			Help: "try it out with the staging CA and save nothing. Pre- and post-hooks run, deploy-hooks only with --run-deploy-hooks"},
		{Names: on("--run-deploy-hooks"), act: setTrue, Origin: Certbot5, Topics: on("testing", "renew", "certonly", "reconfigure"),
			Help: "let a dry run that succeeds run the deploy-hooks, with the certificate that is there"},
	}
}

func automationFlags() []Flag {
	return []Flag{
		{Names: on("--register-unsafely-without-email"), act: setTrue, Topics: on("register", "automation"),
			Help: "make an account without an address that the CA could write to"},
		{Names: on("--update-registration"), act: setTrue, Origin: Certbot0, Hidden: true, Topics: on("register"),
			Help: "with register: what update_account does"},
		{Names: on("-m", "--email"), act: store, Topics: on("register", "update_account", "unregister", "automation"),
			Help: "address for the CA to write to; several with commas"},
		{Names: on("--eff-email"), act: setTrue, Topics: on("register", "update_account", "automation"),
			Help: "let the EFF have the address"},
		{Names: on("--no-eff-email"), Dest: "eff_email", act: setFalse, Topics: on("register", "update_account", "automation"),
			Help: "do not let the EFF have the address"},
		{Names: on("--keep-until-expiring", "--keep", "--reinstall"), Dest: "reinstall", act: setTrue,
			Topics: on("automation", "certonly", "run"),
			Help:   "keep a certificate that has these names already, until it is due; run installs it again"},
		{Names: on("--expand"), act: setTrue, Topics: on("automation"),
			Help: "replace a certificate that has some of these names by one with all of them"},
		{Names: on("--version"), act: askVersion, Topics: on("automation"), Help: "print the version"},
		{Names: on("--force-renewal", "--renew-by-default"), Dest: "renew_by_default", act: setTrue, Topics: on("automation", "renew"),
			Help: "renew whether due or not; implies --expand"},
		{Names: on("--renew-with-new-domains"), act: setTrue, Topics: on("automation"),
			Help: "renew the lineage of --cert-name with these names, whatever names it has"},
		{Names: on("--reuse-key"), act: setTrue, Topics: on("automation"), Help: "keep the private key at renewals"},
		{Names: on("--no-reuse-key"), Dest: "reuse_key", act: setFalse, Topics: on("automation"),
			Help: "make a new private key at renewals, as is usual"},
		{Names: on("--new-key"), act: setTrue, Topics: on("automation"),
			Help: "make a new private key this time, also where --reuse-key was said"},
		{Names: on("--allow-subset-of-names"), act: setTrue, Topics: on("automation", "renew", "certonly"),
			Help: "go on without names that cannot be validated; not with --csr or wildcards"},
		{Names: on("--agree-tos"), Dest: "tos", act: setTrue, Topics: on("automation"), Help: "agree to the CA's terms"},
		{Names: on("--account"), Arg: "ACCOUNT_ID", act: store, Topics: on("unregister", "automation"), Help: "account to use"},
		{Names: on("--duplicate"), act: setTrue, Topics: on("automation"),
			Help: "make a second lineage with the same names"},
		{Names: on("-q", "--quiet"), act: setTrue, Topics: on("automation", "renew", "certonly", "run"),
			Help: "say nothing but errors; implies -n"},
	}
}

func testingFlags() []Flag {
	return []Flag{
		{Names: on("--test-cert", "--staging"), Dest: "staging", act: setTrue, Topics: on("testing", "revoke", "run"),
			Help: "use the staging CA, whose certificates nobody trusts: --server " + StagingServer},
		{Names: on("--debug"), act: setTrue, Topics: on("testing"), Help: "show all that is known of an error"},
		{Names: on("--debug-challenges"), act: setTrue, Topics: on("", "certonly", "run"),
			Help: "wait for a key before the CA is told to validate; with -v, show what it will look for"},
		{Names: on("--no-verify-ssl"), act: setTrue, Topics: on("testing"), Help: "do not verify the ACME server's certificate"},
		{Names: on("--tls-sni-01-port"), act: store, Origin: Certbot0, Topics: on("testing", "standalone"),
			Help: "where to listen for TLS-SNI-01 (private CAs); the CA comes to 443 all the same"},
		{Names: on("--tls-sni-01-address"), act: store, Origin: Certbot0, Topics: on("testing", "standalone"),
			Help: "address to listen on for TLS-SNI-01"},
		{Names: on("--http-01-port"), Dest: "http01_port", act: store, Topics: on("testing", "standalone", "manual"),
			Help: "where to listen for HTTP-01; the CA comes to port 80 all the same"},
		{Names: on("--http-01-address"), Dest: "http01_address", act: store, Topics: on("testing", "standalone"),
			Help: "address to listen on for HTTP-01"},
		{Names: on("--https-port"), act: store, Topics: on("testing", "nginx"),
			Help: "port that nginx will serve HTTPS on once a certificate is installed"},
		{Names: on("--break-my-certs"), act: setTrue, Topics: on("testing"),
			Help: "let a staging certificate replace a real one"},
	}
}
