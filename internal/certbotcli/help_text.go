package certbotcli

import "edge/installers/target"

// overview is --help.
func (h *helpText) overview() {
	h.usage("")
	h.line("Obtains, renews and installs certificates from an ACME CA, and keeps them as\ncertbot does.\n")
	h.commands()
	h.line("the most used flags:")
	for _, f := range [][2]string{
		{"-d DOMAINS", "names for the certificate, with commas"},
		{"--nginx, --apache", "prove control by that server, and install there"},
		{"--edge", "prove control by edge's front door"},
		{"--standalone", "prove control by a server of our own"},
		{"--webroot -w FOLDER", "prove control by files in a web server's folder"},
		{"--manual", "prove control by hand, or by hooks"},
		{"-m ADDRESS, --agree-tos", "for the account: address, and consent to the terms"},
		{"-n", "never ask"},
		{"--dry-run, --test-cert", "try it with the staging CA"},
		{"-h TOPIC, --version", "help about a topic, the version"},
	} {
		h.wrap(sprintHead(f[0]), column+4, f[1])
	}
	h.line("")
	h.line("examples:")
	for _, verb := range []string{"certonly", "run", "renew", "certificates"} {
		if h.program == "certbot" || verb != "run" {
			h.line("  %s %s", h.program, examples(verb)[0])
		}
	}
	h.line("")
}

func sprintHead(s string) string {
	const n = column + 4
	s = "  " + s
	for len(s) < n {
		s += " "
	}
	return s
}

// examplesOf a kind of target, as it can be used.
func examplesOf(k *target.Kind) []string {
	var list []string
	if k.Proves() {
		list = append(list, "certonly -a "+k.Name+" -d example.com")
	}
	if k.Installs() {
		list = append(list, "install -i "+k.Name+" --cert-name example.com")
	}
	if k.Proves() && k.Installs() {
		list = append(list, "run -a "+k.Name+" -i "+k.Name+" -d example.com")
	}
	return list
}

// examples of a topic, without the program.
func examples(name string) []string {
	switch name {
	case "run":
		return []string{"run --nginx -d example.com -d www.example.com", "run -a webroot -i apache -w /var/www -d example.com"}
	case "certonly":
		return []string{"certonly --edge -d example.com,www.example.com", "certonly --webroot -w /var/www -d example.com --deploy-hook 'systemctl reload dovecot'",
			"certonly --dns-cloudflare --dns-cloudflare-credentials /etc/letsencrypt/cf.ini -d '*.example.com'"}
	case "renew":
		return []string{"renew", "renew --dry-run", "renew --cert-name example.com --force-renewal"}
	case "certificates":
		return []string{"certificates", "certificates -o json"}
	case "delete":
		return []string{"delete --cert-name example.com"}
	case "revoke":
		return []string{"revoke --cert-name example.com --reason superseded", "revoke --cert-path cert.pem --key-path key.pem"}
	case "register":
		return []string{"register -m ops@example.com --agree-tos -n"}
	case "update_account":
		return []string{"update_account -m ops@example.com,root@example.com"}
	case "install":
		return []string{"install --nginx --cert-name example.com"}
	case "rollback":
		return []string{"rollback -i nginx --checkpoints 1"}
	case "reconfigure":
		return []string{"reconfigure --cert-name example.com --edge", "reconfigure --cert-name example.com --deploy-hook 'systemctl reload postfix'"}
	case "enhance":
		return []string{"enhance --nginx --hsts --cert-name example.com"}
	case "manual":
		return []string{"certonly --manual --preferred-challenges dns --manual-auth-hook ./add --manual-cleanup-hook ./remove -d example.com"}
	case "webroot":
		return []string{"certonly --webroot -w /srv/a -d a.example,www.a.example -w /srv/b -d b.example"}
	case "standalone":
		return []string{"certonly --standalone -d example.com", "certonly --standalone --preferred-challenges tls-alpn -d example.com"}
	case "edge":
		return []string{"certonly --edge -d example.com", "renew --on-failure-hook 'mail -s \"$FAILED_DOMAINS\" root'"}
	}
	return nil
}
