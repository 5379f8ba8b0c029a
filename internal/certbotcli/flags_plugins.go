package certbotcli

// dnsPlugins are those that certbot has a selector for, in its order, with their
// names for people.
func dnsPlugins() [][2]string {
	return [][2]string{
		{"dns-cloudflare", "Cloudflare"}, {"dns-digitalocean", "DigitalOcean"}, {"dns-dnsimple", "DNSimple"},
		{"dns-dnsmadeeasy", "DNS Made Easy"}, {"dns-gehirn", "Gehirn"}, {"dns-google", "Google Cloud DNS"},
		{"dns-linode", "Linode"}, {"dns-luadns", "LuaDNS"}, {"dns-nsone", "NS1"}, {"dns-ovh", "OVH"},
		{"dns-rfc2136", "a server with RFC 2136 updates, such as BIND"}, {"dns-route53", "Route 53"}, {"dns-sakuracloud", "Sakura Cloud"},
	}
}

func selectorFlags() []Flag {
	flags := []Flag{
		{Names: on("--configurator"), act: store, Topics: on("plugins"), Help: "plugin to be both authenticator and installer"},
		{Names: on("-a", "--authenticator"), act: store, Topics: on("plugins", "reconfigure"), Help: "plugin to prove control of the names"},
		{Names: on("-i", "--installer"), act: store, Topics: on("plugins", "reconfigure"), Help: "plugin to install the certificate"},
		{Names: on("--apache"), act: setTrue, Topics: on("plugins", "certonly", "run", "install"), Help: "prove control by Apache, and install there"},
		{Names: on("--nginx"), act: setTrue, Topics: on("plugins", "certonly", "run", "install"), Help: "prove control by nginx, and install there"},
		{Names: on("--standalone"), act: setTrue, Topics: on("plugins", "certonly"), Help: "prove control by a web server of our own"},
		{Names: on("--manual"), act: setTrue, Topics: on("plugins", "certonly"), Help: "prove control by hand, or by hooks"},
		{Names: on("--webroot"), act: setTrue, Topics: on("plugins", "certonly", "reconfigure"), Help: "prove control by files in a web server's folder"},
	}
	for _, p := range dnsPlugins() {
		flags = append(flags, Flag{Names: on("--" + p[0]), act: setTrue, Topics: on("plugins", "certonly"),
			Help: "prove control by DNS records at " + p[1], Hidden: !known(p[0])})
	}
	return flags
}

// known reports whether edge has a plugin that certbot has a selector for.
func known(plugin string) bool {
	switch plugin {
	case "apache", "nginx", "standalone", "manual", "webroot", "dns-cloudflare", "dns-rfc2136", "edge":
		return true
	}
	return false
}

// pluginFlags are those of certbot's plugins, in the order in which it finds them:
// by name.
func pluginFlags() []Flag {
	apache, nginx, webroot := on("apache"), on("nginx"), on("webroot")
	return []Flag{
		{Names: on("--apache-enmod"), act: store, Topics: apache, Help: "program that enables a module"},
		{Names: on("--apache-dismod"), act: store, Topics: apache, Help: "program that disables a module"},
		{Names: on("--apache-le-vhost-ext"), act: store, Topics: apache, Help: "how files of HTTPS virtual hosts end"},
		{Names: on("--apache-server-root"), act: store, Topics: apache, Help: "folder of Apache's configuration"},
		{Names: on("--apache-vhost-root"), act: store, Topics: apache, Help: "folder of its virtual hosts"},
		{Names: on("--apache-logs-root"), act: store, Topics: apache, Help: "folder of its logs"},
		{Names: on("--apache-challenge-location"), act: store, Topics: apache, Help: "folder for the configuration of challenges"},
		{Names: on("--apache-handle-modules"), act: store, Topics: apache, Help: "whether to enable modules, True or False"},
		{Names: on("--apache-handle-sites"), act: store, Topics: apache, Help: "whether to enable sites, True or False"},
		{Names: on("--apache-ctl"), act: store, Topics: apache, Help: "Apache's control program"},
		{Names: on("--apache-bin"), act: store, Topics: apache, Help: "Apache's server program"},
		{Names: on("--dns-cloudflare-propagation-seconds"), act: store, Topics: on("dns-cloudflare"), Help: "seconds to wait for the records to be seen everywhere"},
		{Names: on("--dns-cloudflare-credentials"), act: store, Topics: on("dns-cloudflare"), Help: "file with the API token"},
		{Names: on("--dns-rfc2136-propagation-seconds"), act: store, Topics: on("dns-rfc2136"), Help: "seconds to wait for the records to be seen everywhere"},
		{Names: on("--dns-rfc2136-credentials"), act: store, Topics: on("dns-rfc2136"), Help: "file with server, key name and secret"},
		{Names: on("--manual-auth-hook"), act: store, Topics: on("manual"),
			Help: "command that puts a challenge's answer in place; it gets CERTBOT_DOMAIN, CERTBOT_VALIDATION, CERTBOT_TOKEN"},
		{Names: on("--manual-cleanup-hook"), act: store, Topics: on("manual"), Help: "command that takes the answer away; it gets CERTBOT_AUTH_OUTPUT too"},
		{Names: on("--manual-public-ip-logging-ok"), act: nothing, Hidden: true, Origin: abandoned},
		{Names: on("--nginx-server-root"), act: store, Topics: nginx, Help: "folder of nginx.conf"},
		{Names: on("--nginx-ctl"), act: store, Topics: nginx, Help: "the nginx program"},
		{Names: on("--nginx-sleep-seconds"), act: store, Topics: nginx, Help: "seconds to wait for a reload"},
		{Names: on("--standalone-supported-challenges"), act: oldChallenges, Hidden: true, Origin: Certbot0},
		{Names: on("--webroot-path", "-w"), act: addWebroot, Topics: webroot,
			Help: "folder that the web server serves; may be repeated, each for the names that follow: -w /srv/a -d a.example -w /srv/b -d b.example"},
		{Names: on("--webroot-map"), act: addWebrootMap, Topics: webroot,
			Help: `JSON of names and folders, which stands for -w and -d: {"a.example,www.a.example": "/srv/a"}`},
	}
}

func ownFlags() []Flag {
	flags := []Flag{
		{Names: on("--edge"), act: setTrue, Topics: on("edge", "certonly"),
			Help: "prove control by the front door of this machine: nothing is stopped or reconfigured"},
		{Names: on("--tls-alpn-01-port"), act: store, Topics: on("edge", "standalone"),
			Help: "where to listen for TLS-ALPN-01; the CA comes to 443 all the same"},
		{Names: on("--no-preflight"), act: setTrue, Topics: on("edge", "certonly", "renew"),
			Help: "do not look whether the CA would find the answers before it is asked"},
		{Names: on("--lock-timeout"), Arg: "DURATION", act: storeDuration, Topics: on("edge"),
			Help: "how long to wait for another run to end: 90, 90s, 2m; 0 does not wait, as certbot"},
		{Names: on("--hook-timeout"), Arg: "DURATION", act: storeDuration, Topics: on("edge", "renew"),
			Help: "how long a hook may take; 0 is for ever, as certbot"},
		{Names: on("--strict-hooks"), act: setTrue, Topics: on("edge", "renew"), Help: "let a hook that fails show in the exit status"},
		{Names: on("--no-strict-hooks"), Dest: "strict_hooks", act: setFalse, Topics: on("edge", "renew"),
			Help: "warn only about a deploy- or post-hook that fails, as certbot"},
		{Names: on("--on-failure-hook"), act: store, Topics: on("edge", "renew"),
			Help: "command for the shell after an order that failed; it gets EDGE_FAILED_LINEAGE, FAILED_DOMAINS and EDGE_ERROR"},
		{Names: on("--key-group"), Arg: "GROUP", act: store, Topics: on("edge", "security"), Help: "group that private keys belong to"},
		{Names: on("--key-mode"), Arg: "MODE", act: storeMode, Topics: on("edge", "security"), Help: "mode of private keys, octal: 0640"},
		{Names: on("-o", "--output"), act: store, Choices: on("text", "json"), Topics: on("edge", "certificates", "show_account", "plugins"),
			Help: "how to print lists"},
		{Names: on("--plan"), act: setTrue, Topics: on("edge", "run", "install", "enhance"),
			Help: "show what would be changed in the server's configuration, as a unified diff, and which commands would be run; change nothing"},
		{Names: on("--copy-default"), act: setTrue, Topics: on("edge", "run", "install"),
			Help: "serve names that no server block has by a copy of the default one, as certbot does"},
		{Names: on("--force"), act: setTrue, Topics: on("edge", "rollback"),
			Help: "roll back files that were changed since, too"},
		{Names: on("--admin"), Dest: "admin_socket", Arg: "SOCKET", act: store, Topics: on("edge", "paths"), Help: "the front door's admin socket"},
		{Names: on("--edge-config"), Arg: "FILE", act: store, Topics: on("edge", "paths"), Help: "the front door's configuration"},
	}
	for i := range flags {
		flags[i].Origin = EdgesOwn
	}
	return flags
}
