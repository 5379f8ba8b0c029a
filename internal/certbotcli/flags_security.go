package certbotcli

func securityFlags() []Flag {
	return []Flag{
		{Names: on("--rsa-key-size"), Arg: "N", act: store, Topics: on("security"), Help: "bits of an RSA key"},
		{Names: on("--key-type"), act: store, Choices: on("rsa", "ecdsa"), Topics: on("security"), Help: "kind of private key to make"},
		{Names: on("--elliptic-curve"), Arg: "N", act: store, Choices: on("secp256r1", "secp384r1", "secp521r1"),
			Topics: on("security"), Help: "curve of an ECDSA key"},
		{Names: on("--must-staple"), act: setTrue, Topics: on("security"),
			Help: "ask for the OCSP Must-Staple extension; implies --staple-ocsp"},
		{Names: on("--redirect"), act: setTrue, Topics: on("security", "enhance"),
			Help: "redirect HTTP to HTTPS (usual for run and install)"},
		{Names: on("--no-redirect"), Dest: "redirect", act: setFalse, Topics: on("security"),
			Help: "do not redirect HTTP to HTTPS (usual for enhance)"},
		{Names: on("--hsts"), act: setTrue, Topics: on("security", "enhance"),
			Help: "have browsers come by HTTPS only: Strict-Transport-Security"},
		{Names: on("--no-hsts"), Dest: "hsts", act: setFalse, Topics: on("security"), Hidden: true},
		{Names: on("--uir"), act: setTrue, Topics: on("security", "enhance"),
			Help: "have browsers fetch all parts of a page by HTTPS: upgrade-insecure-requests"},
		{Names: on("--no-uir"), Dest: "uir", act: setFalse, Topics: on("security"), Hidden: true},
		{Names: on("--staple-ocsp"), Dest: "staple", act: setTrue, Topics: on("security"),
			Help: "have the server send the CA's OCSP answer along"},
		{Names: on("--no-staple-ocsp"), Dest: "staple", act: setFalse, Topics: on("security"), Hidden: true},
		{Names: on("--strict-permissions"), act: setTrue, Topics: on("security"),
			Help: "want owner and mode of all folders to be right; for trees in unsafe places"},
	}
}

func orderFlags() []Flag {
	return []Flag{
		{Names: on("--required-profile"), act: store, Origin: Certbot5, Topics: on("", "certonly", "renew", "run"),
			Help: "profile to ask the CA for; fail where it does not have it"},
		{Names: on("--preferred-profile"), act: store, Origin: Certbot5, Topics: on("", "certonly", "renew", "run"),
			Help: "profile to ask the CA for, where it has it"},
		{Names: on("--preferred-chain"), act: store, Topics: on("", "certonly", "renew", "run"),
			Help: "take the chain whose topmost certificate was issued by this common name, where the CA has it"},
		{Names: on("--preferred-challenges"), Dest: "pref_challs", act: addChallenges,
			Topics: on("manual", "standalone", "certonly", "renew"),
			Help:   "kinds of challenges to use, best first, with commas: http, dns, tls-alpn, tls-sni. Others are not used"},
		{Names: on("--issuance-timeout"), act: storeCount, Topics: on("", "certonly", "run"),
			Help: "seconds to wait for the CA to issue"},
	}
}

func hookFlags() []Flag {
	return []Flag{
		{Names: on("--pre-hook"), act: store, Topics: on("renew", "reconfigure"),
			Help: "command for the shell before an order, where there is one; the same one runs once"},
		{Names: on("--post-hook"), act: store, Topics: on("renew", "reconfigure"),
			Help: "command for the shell after orders, failed or not; the same one runs once"},
		{Names: on("--renew-hook"), act: setRenewHook, Topics: on("renew", "reconfigure"), Hidden: true},
		{Names: on("--no-random-sleep-on-renew"), Dest: "random_sleep_on_renew", act: setFalse, Topics: on("renew"), Hidden: true,
			Help: "start at once also where nobody sits at a terminal"},
		{Names: on("--deploy-hook"), act: setDeployHook, Topics: on("certonly", "renew", "reconfigure", "run"),
			Help: "command for the shell after each certificate that was issued; it gets RENEWED_LINEAGE and RENEWED_DOMAINS"},
		{Names: on("--disable-hook-validation"), Dest: "validate_hooks", act: setFalse, Topics: on("renew"),
			Help: "do not look whether the first word of a hook is a program"},
		{Names: on("--no-directory-hooks"), Dest: "directory_hooks", act: setFalse, Topics: on("renew"),
			Help: "run no programs from the renewal-hooks folders"},
		{Names: on("--disable-renew-updates"), act: setTrue, Topics: on("renew"),
			Help: "let renew change nothing in the servers' configuration"},
		{Names: on("--no-autorenew"), Dest: "autorenew", act: setFalse, Topics: on("renew"), Help: "leave this certificate out of renewals"},
	}
}

// goneFlags do nothing any more.
func goneFlags() []Flag {
	flags := []Flag{
		{Names: on("--os-packages-only")}, {Names: on("--no-self-upgrade")},
		{Names: on("--no-bootstrap")}, {Names: on("--no-permissions-check")},
		{Names: on("--agree-dev-preview"), Origin: Certbot0}, {Names: on("--dialog"), Origin: Certbot0},
	}
	for i := range flags {
		flags[i].Hidden, flags[i].act = true, nothing
		if flags[i].Origin == Certbot {
			flags[i].Origin = abandoned
		}
	}
	return append(flags, Flag{Names: on("--auto-hsts"), act: setTrue, Topics: on("security", "enhance"),
		Help: "Strict-Transport-Security for ever longer, from a minute to a year"})
}

// verbFlags belong to one verb.
func verbFlags() []Flag {
	return []Flag{
		{Names: on("--user-agent"), act: store, Help: "what to tell the CA of this program; \"\" tells nothing"},
		{Names: on("--user-agent-comment"), act: storeComment, Help: "what to add to it; no parentheses"},
		{Names: on("--csr"), act: readCSR, Topics: on("certonly"), Help: "certificate signing request, PEM or DER, to have signed as it is"},
		{Names: on("--reason"), act: setReason, Choices: reasonNames(), Topics: on("revoke"),
			Help: "why the certificate is revoked"},
		{Names: on("--delete-after-revoke"), act: setTrue, Topics: on("revoke"), Help: "delete the lineage once it is revoked"},
		{Names: on("--no-delete-after-revoke"), Dest: "delete_after_revoke", act: setFalse, Topics: on("revoke"),
			Help: "keep the lineage; renew would renew it"},
		{Names: on("--checkpoints"), Arg: "N", act: store, Topics: on("rollback"), Help: "how many changes to undo"},
		{Names: on("--init"), act: setTrue, Topics: on("plugins"), Help: "start the plugins"},
		{Names: on("--prepare"), act: setTrue, Topics: on("plugins"), Help: "start the plugins and see whether they can work"},
		{Names: on("--authenticators"), Dest: "ifaces", act: addIface("Authenticator"), Topics: on("plugins"), Help: "list authenticators only"},
		{Names: on("--installers"), Dest: "ifaces", act: addIface("Installer"), Topics: on("plugins"), Help: "list installers only"},
	}
}

func pathFlags() []Flag {
	return []Flag{
		{Names: on("--cert-path"), act: storePath, Topics: on("paths", "install", "revoke", "certonly", "manage"),
			Help: "certificate to install or revoke, or where certonly --csr saves it"},
		{Names: on("--key-path"), act: storePath, Topics: on("paths", "install", "revoke"),
			Help: "private key to install, or to revoke with in the account's place"},
		{Names: on("--fullchain-path"), act: storePath, Topics: on("paths", "install"), Help: "certificate and chain in one file"},
		{Names: on("--chain-path"), act: storePath, Topics: on("paths", "install"), Help: "chain without the certificate"},
		{Names: on("--config-dir"), act: store, Topics: on("paths"), Help: "where lineages, accounts and renewal files are"},
		{Names: on("--work-dir"), act: store, Topics: on("paths"), Help: "where backups and work in progress are"},
		{Names: on("--logs-dir"), act: store, Topics: on("paths"), Help: "where the logs are"},
		{Names: on("--server"), act: store, Topics: on("paths", "show_account"), Help: "URL of the CA's ACME directory"},
	}
}
