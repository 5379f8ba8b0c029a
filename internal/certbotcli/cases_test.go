package certbotcli

// accepted is lineCase.ours where we take what certbot does not.
const accepted = "it is accepted"

func commandLines() []lineCase {
	return []lineCase{
		{args: ""}, {args: "run"}, {args: "certonly"}, {args: "auth -n"}, {args: "everything"}, {args: "renew"},
		{args: "-n certonly --standalone -d example.com"},
		{args: "-d example.com certonly"},
		{args: "certonly --cert-name run"}, {args: "--cert-name run -d a.example"}, {args: "--cert-name certificates"},
		{args: "run certonly"}, {args: "renew --pre-hook run --disable-hook-validation", differs: "certbot, which asks again which options were set, takes run for the verb then", ours: accepted}, {args: "--pre-hook renew"},
		{args: "--version"}, {args: "--no-such --version"}, {args: "-nvV"},
		{args: "--help"}, {args: "-h"}, {args: "help"}, {args: "help renew"}, {args: "certonly --help"}, {args: "--help all"},
		{args: "-h nginx"}, {args: "renew -h commands"}, {args: "--hel"}, {args: "-nh"}, {args: "--no-such --help"},
		{args: "foo"}, {args: "certonly foo bar"}, {args: "--no-such"}, {args: "certonly --no-such=1 x -d a.example -z"},
		{args: "--"}, {args: "-- foo"}, {args: "certonly -- -d a.example"}, {args: "-d -- a.example"}, {args: "-n -- --expand"},
		// Names.
		{args: "-d a.example -d b.example,c.example -d a.example"}, {args: "-d A.Example.COM."}, {args: "-d a.example,␣b.example␣,a.example"},
		{args: "-da.example"}, {args: "-d=a.example"}, {args: "--domain=a.example"}, {args: "--domains a.example --domain b.example"},
		{args: "-d ∅"}, {args: "-d a.example,"}, {args: "-d a..b"}, {args: "-d ."}, {args: "-d .a.b"}, {args: "-d a.b.."},
		{args: "-d http://a.example"}, {args: "-d HTTPS://a.example/x"}, {args: "-d ftp://a.example"}, {args: "-d a_b.example"},
		{args: "-d 1.2.3.4"}, {args: "-d ::1"}, {args: "-d 1.2.3.04"}, {args: "-d 1.2.3"}, {args: "-d fe80::1%eth0"}, {args: "-d ::ffff:1.2.3.4"},
		{args: "-d ünicode.example"}, {args: "-d *.a.example"}, {args: "-d localhost"}, {args: "-d a.example --expand"},
		{args: "-d a234567890123456789012345678901234567890123456789012345678901234.example"},
		{args: "-d " + long(63) + "." + long(63) + "." + long(63) + "." + long(63)}, {args: "-d " + long(63) + "." + long(63) + "." + long(63) + "." + long(64)},
		{args: "-d " + long(63) + "." + long(63) + "." + long(63) + "." + long(63) + ".a"},
		// Abbreviations, clusters, values.
		{args: "--exp"}, {args: "--no-self --no-b"}, {args: "--prefe dns"}, {args: "--preferred-cha x"}, {args: "--preferred-chall dns"},
		{args: "--preferred-challe=http"}, {args: "--kee"}, {args: "--keep"}, {args: "--keep-u"}, {args: "--domai a.b"}, {args: "--dns"},
		{args: "--dns-cloudf"}, {args: "--dns-rfc2136-c $L/x"}, {args: "--e"}, {args: "--em a@b.c"}, {args: "--em=a@b.c"}, {args: "--no-"},
		{args: "--strict"}, {args: "--eab-h x"}, {args: "--eab-k x"}, {args: "--ru", differs: "5.6 has --run-deploy-hooks", ours: accepted}, {args: "--re"}, {args: "--us x"}, {args: "--user-agent-c x"},
		{args: "--ho", differs: "edge's own", ours: "argument --hook-timeout: expected one argument"}, {args: "--o"}, {args: "--ed", differs: "edge's own", ours: "ambiguous option: --ed could match --edge, --edge-config"}, {args: "--te"}, {args: "--ser http://x/dir"}, {args: "--config-d $L/c"},
		{args: "--au x"}, {args: "--auth x"}, {args: "--authenticator x --a y"}, {args: "--=x"}, {args: "-=x"}, {args: "--conf $L/cli.ini"},
		{args: "-nvq"}, {args: "-vvv -v --verbose"}, {args: "-nvx"}, {args: "-vn3"}, {args: "-v3"}, {args: "-v=3"}, {args: "-nd a.example"},
		{args: "-nda.example"}, {args: "-nd=a.example"}, {args: "-qnm x@y.z"}, {args: "-nh=3"}, {args: "-vé"}, {args: "-é"}, {args: "-"}, {args: "∅"},
		{args: "-m -d a.example"}, {args: "-m"}, {args: "--email="}, {args: "--email ∅"}, {args: "-m -x"}, {args: "-m -1"}, {args: "-m --no␣such"},
		{args: "--expand=3"}, {args: "--expand="}, {args: "-n=3"}, {args: "-1"}, {args: "-1.5"}, {args: "--pre-hook -x␣y --disable-hook-validation"},
		{args: "--pre-hook --force␣it --disable-hook-validation"}, {args: "--cert-name -n"}, {args: "--cert-name=-n"}, {args: "--cert-name a=b"},
		// Values of kinds.
		{args: "--http-01-port x"}, {args: "--http-01-port 8080"}, {args: "--http-01-port ␣80␣"}, {args: "--http-01-port 8_0"}, {args: "--http-01-port _80"},
		{args: "--http-01-port +80"}, {args: "--http-01-port -80"}, {args: "--http-01-port 8__0"}, {args: "--http-01-port 80.0"}, {args: "--http-01-port 443"},
		{args: "--https-port 80"}, {args: "--https-port 8443 --http-01-port 8443"}, {args: "--max-log-backups -1"}, {args: "--max-log-backups x"},
		{args: "--max-log-backups=0"}, {args: "--issuance-timeout 120"}, {args: "--issuance-timeout=-1"}, {args: "--rsa-key-size 4096"}, {args: "--rsa-key-size big"},
		{args: "--key-type rsa"}, {args: "--key-type RSA"}, {args: "--key-type it's"}, {args: `--key-type "'\`}, {args: "--key-type é␣\u200b"},
		{args: "--elliptic-curve secp384r1"}, {args: "--elliptic-curve x"},
		{args: "--reason keyCompromise"}, {args: "--reason SUPERSEDED"}, {args: "--reason nope"}, {args: "--checkpoints zzz"}, {args: "rollback --checkpoints 3"},
		{args: "--user-agent ∅"}, {args: "--user-agent-comment a(b)"}, {args: "--user-agent-comment a"}, {args: "--nginx-sleep-seconds 5"}, {args: "--nginx-sleep-seconds x"},
		{args: "--apache-handle-modules False"}, {args: "--apache-ctl apachectl --nginx-ctl $L/x"}, {args: "--dns-cloudflare-propagation-seconds 30"},
		{args: "--dns-cloudflare --dns-cloudflare-credentials $L/cf.ini"}, {args: "--verbose-level 3"},
		{args: "--eff-email"}, {args: "--no-eff-email"}, {args: "--eff-email --no-eff-email"}, {args: "--redirect --hsts --uir --staple-ocsp"},
		{args: "--no-redirect --no-hsts --no-uir --no-staple-ocsp"}, {args: "--reuse-key --no-reuse-key"}, {args: "--no-reuse-key"}, {args: "--must-staple --no-staple-ocsp"},
		{args: "revoke --delete-after-revoke --cert-path x/../y"}, {args: "revoke --no-delete-after-revoke --key-path ∅"},
		{args: "certonly --cert-path x --chain-path /c --fullchain-path f"}, {args: "install --cert-path a --key-path b"},
		{args: "plugins --init --prepare --authenticators --installers --installers"},
		{args: "--config-dir c --work-dir ./w/ --logs-dir /l/../l"}, {args: "--account abc"}, {args: "register -m a@b.c,d@e.f --agree-tos --eab-kid k --eab-hmac-key h"},
		{args: "--os-packages-only --no-self-upgrade --no-bootstrap --no-permissions-check --manual-public-ip-logging-ok"}, {args: "--os-packages-only=1"},
		{args: "--no-autorenew --no-random-sleep-on-renew --no-directory-hooks --disable-renew-updates --new-key --duplicate --renew-with-new-domains"},
		{args: "--strict-permissions --no-verify-ssl --debug --debug-challenges --break-my-certs -t --preconfigured-renewal"},
		{args: "--preferred-chain ISRG␣Root␣X1"}, {args: "--preferred-chain ∅"}, {args: "--http-01-address 127.0.0.1"}, {args: "--register-unsafely-without-email --force-renewal"},
		{args: "--renew-by-default --keep-until-expiring"}, {args: "certificates -d a.example --cert-name x"}, {args: "delete --cert-name a"}, {args: "unregister"},
		{args: "show_account --server http://x/"}, {args: "update_account -m x@y.z"}, {args: "enhance --auto-hsts"}, {args: "update_symlinks"},
		// Challenges.
		{args: "--preferred-challenges http"}, {args: "--preferred-challenges dns,http"}, {args: "--preferred-challenges ␣dns-01␣,dns --preferred-challenges http-01"},
		{args: "--preferred-challenges ftp"}, {args: "--preferred-challenges dns,foo,bar"}, {args: "--preferred-challenges ∅", differs: "certbot takes none, and fails later", ours: "Unrecognized challenges: "}, {args: "--preferred-challenges HTTP"},
		{args: "--preferred-challenges tls-sni", differs: "edge has TLS-SNI-01, for private CAs", ours: accepted},
		// What goes together.
		{args: "renew --force-interactive"}, {args: "-n --force-interactive"}, {args: "certonly --force-interactive"}, {args: "-q --force-interactive"},
		{args: "certonly --dry-run"}, {args: "renew --dry-run"}, {args: "run --dry-run"}, {args: "certificates --dry-run"}, {args: "--staging"}, {args: "certonly --staging --dry-run"},
		{args: "--staging --server http://x/dir"}, {args: "certonly --dry-run --server http://x/dir"}, {args: "certonly --dry-run --server " + StagingServer},
		{args: "--staging --server " + DefaultServer}, {args: "certonly --dry-run --config-dir $L/accounts.d"}, {args: "certonly --dry-run --config-dir $L/empty"},
		{args: "--allow-subset-of-names -d *.a.example"}, {args: "--allow-subset-of-names -d a.example"}, {args: "--hsts --auto-hsts"}, {args: "--no-hsts --auto-hsts"},
		// Plugins.
		{args: "--apache --nginx"}, {args: "--standalone --manual"}, {args: "-a standalone --standalone"}, {args: "-a standalone --nginx"}, {args: "-a standalone -i nginx"},
		{args: "--configurator nginx -i nginx"}, {args: "--configurator nginx -a webroot"}, {args: "--dns-route53"}, {args: "-a dns-x:auth"}, {args: "-i it's -a b --configurator c"},
		{args: "-i ∅ -a ∅"}, {args: "certonly --nginx --nginx-server-root $L/n"}, {args: "certonly -a manual --manual-auth-hook a,b␣'c' --manual-cleanup-hook x"},
		{args: "certonly --standalone --webroot --dns-google"},
		// Webroots.
		{args: "certonly --webroot -w $L/web -d a.example"}, {args: "-d a.example -w $L/web"}, {args: "-w $L/web -d a.example -w $L/web2 -d b.example,c.example"},
		{args: "-d a.example -w $L/web -w $L/web2"}, {args: "-d a.example -w $L/web -d b.example -w $L/web2"}, {args: "-w $L/none"}, {args: "-w $L/web/../web2"}, {args: "--webroot-path=$L/web"},
		{args: "-w $L/web -w $L/web2 -d a.example"}, {args: "-w ∅"}, {args: `--webroot-map {"a.example,B.example":"$L/web","c.example":"$L/web2"}`},
		{args: `--webroot-map {"a.example":"$L/web"} -w $L/web2 -d a.example -d b.example`}, {args: `-w $L/web2 -d a.example -w $L/web --webroot-map {"a.example":"$L/web"}`},
		{args: `--webroot-map {"a.example":"$L/none"}`}, {args: `--webroot-map {"":"$L/web"}`}, {args: `--webroot-map {}`}, {args: `--webroot-map {"a.example":"$L/web","a.example":"$L/web2"}`},
		{args: `--webroot-map x`, differs: "certbot shows Python's error", ours: "no JSON object"}, {args: `--webroot-map ["a"]`, differs: "certbot crashes", ours: "no JSON object"},
		{args: `--webroot-map {"a.example":"$L/web"}x`, differs: "certbot shows Python's error", ours: "no JSON object"}, {args: `--webroot-map {"http://a":"$L/web"}`},
		// Signing requests.
		{args: "certonly --csr $L/cn.csr"}, {args: "certonly --csr $L/cn.csr.pem -d cn.example"}, {args: "certonly --csr $L/san.csr"}, {args: "certonly --csr $L/san.csr.pem -d b.example -d a.example"},
		{args: "certonly --csr $L/none.csr"}, {args: "certonly --csr $L/junk.csr"}, {args: "certonly --csr $L/missing"}, {args: "certonly --csr $L"}, {args: "run --csr $L/san.csr"},
		{args: "certonly --csr $L/san.csr --allow-subset-of-names"}, {args: "--csr $L/san.csr -d a.example --cert-name x renew"},
		{args: "certonly --csr $L/san.csr -d c.example", differs: "certbot's order of the names is by chance", ours: "Inconsistent domain requests:\nFrom the CSR: a.example, b.example\nFrom command line/config: c.example, a.example, b.example"},
		// Hooks.
		{args: "--pre-hook $L/bin/hook --post-hook hook␣now --deploy-hook hook"}, {args: "--renew-hook hook"}, {args: "--deploy-hook hook --renew-hook hook"}, {args: "--deploy-hook hook --renew-hook true"},
		{args: "--renew-hook hook --deploy-hook true"}, {args: "--renew-hook hook --deploy-hook hook"}, {args: "--deploy-hook hook --deploy-hook true"}, {args: "--renew-hook true --renew-hook hook"},
		{args: "--renew-hook ∅ --deploy-hook hook"}, {args: "--deploy-hook ∅ --renew-hook hook"}, {args: "--deploy-hook ∅"}, {args: "--pre-hook nonexist --disable-hook-validation"},
		{args: "--pre-hook nonexist", differs: "5.6's text", ours: "Unable to find pre-hook command nonexist in the PATH."},
		{args: "--deploy-hook $L/bin/noexec", differs: "certbot swaps two words", ours: "deploy-hook command $L/bin/noexec exists, but is not executable."},
		// Configuration files.
		{args: "", ini: []string{"email = a@b.c\nagree-tos = true\n# x\n; y\n[z]\n---\n\nstaging"}}, {args: "-m x@y.z", ini: []string{"email = a@b.c"}},
		{args: "-mx@y.z", ini: []string{"email = a@b.c"}}, {args: "--em x@y.z", ini: []string{"email = a@b.c"}}, {args: "-d b.example", ini: []string{"domains = a.example"}},
		{args: "-db.example", ini: []string{"domains = a.example"}}, {args: "", ini: []string{"domains = a.example, b.example\nwebroot-path = $L/web"}},
		{args: "", ini: []string{"webroot-path = $L/web\ndomains = a.example, b.example"}}, {args: "renew", ini: []string{"domains = a.example"}}, {args: "renew -d b.example", ini: []string{"domains = a.example"}},
		{args: "renew", ini: []string{"domain = a.example"}}, {args: "renew -db.example", ini: []string{"domains = a.example"}}, {args: "", ini: []string{"a = b\nemail = a@b.c"}}, {args: "", ini: []string{"d = a.example"}},
		{args: "", ini: []string{"email a@b.c"}}, {args: "", ini: []string{"--email: a@b.c"}}, {args: "", ini: []string{"email = \"a@b.c\" # me"}}, {args: "", ini: []string{"email = a@b.c # me\nserver = 'http://x/#y' ; z"}},
		{args: "", ini: []string{"email ="}}, {args: "", ini: []string{"email"}}, {args: "", ini: []string{"email\t=\ta@b.c"}}, {args: "", ini: []string{"email = it's"}}, {args: "", ini: []string{"email = a\nemail = b\n"}},
		{args: "", ini: []string{"email = 'a\" b'\r\nagree-tos = yes\r\nno-redirect = 1\rhsts = TRUE"}}, {args: "", ini: []string{"agree-tos = false\nstaging = no\nexpand = 0"}}, {args: "", ini: []string{"no-autorenew = false"}},
		{args: "--no-redirect", ini: []string{"redirect = true"}}, {args: "--redirect", ini: []string{"no-redirect = true"}}, {args: "", ini: []string{"verbose = true"}}, {args: "", ini: []string{"unknown = [a, b]"}},
		{args: "", ini: []string{"standalone = true\nnon-interactive"}}, {args: "", ini: []string{"webroot-map = {\"a.example\":\"$L/web\"}"}}, {args: "", ini: []string{"preferred-challenges = http, dns"}},
		{args: "", ini: []string{"email = a@b.c\nkey-type = rsa", "email = c@d.e"}}, {args: "-c $L/cli.ini", ini: []string{"email = a@b.c\nkey-type = rsa"}}, {args: "--config=$L/cli.ini"}, {args: "-c $L/missing"}, {args: "-c"},
		{args: "-c ~/cli.ini"}, {args: "-n -c$L/cli.ini"}, {args: "-nc $L/cli.ini"}, {args: "--help", ini: []string{"bad = = ="}}, {args: "", ini: []string{"config = $L/cli.ini"}}, {args: "", ini: []string{"help = true"}}, {args: "", ini: []string{"version = true"}},
		{args: "", ini: []string{"manual-public-ip-logging-ok = true\nno-self-upgrade"}}, {args: "", ini: []string{"rsa-key-size = x"}}, {args: "", ini: []string{"cert-name = run"}}, {args: "", ini: []string{"pre-hook = hook --x # y"}}, {args: "", ini: []string{"authenticator = webroot"}},
		{args: "", ini: []string{"max-log-backups = 0\npreconfigured-renewal = True"}}, {args: "", ini: []string{"\u00a0email\u2003=\u3000a@b.c\u00a0"}}, {args: "", ini: []string{"email = [a"}}, {args: "", ini: []string{"email = ["}}, {args: "", ini: []string{"email = ''"}}, {args: "", ini: []string{"email = 'a' b"}},
		{args: "-n", ini: []string{"noninteractive = true"}}, {args: "", ini: []string{"webroot-path = $L/web"}}, {args: "-w $L/web2", ini: []string{"webroot-path = $L/web"}}, {args: "", ini: []string{"reason = superseded\ncheckpoints = 2"}}, {args: "", ini: []string{"-email = x"}}, {args: "", ini: []string{"---email = x\n----- = y"}},
		{args: "", ini: []string{"email = a#b ;c"}}, {args: "", ini: []string{"email = a ;"}}, {args: "", ini: []string{"email = \"a\" \"b\""}}, {args: "", ini: []string{"email:a=b"}}, {args: "", ini: []string{"email==b"}}, {args: "", ini: []string{"email = = b"}}, {args: "", ini: []string{"email  : b"}},
		{args: "", ini: []string{"= x"}, differs: "we name file and line as editors do", ours: "cli.ini:1: expected"}, {args: "", ini: []string{"\nemail#x"}, differs: "likewise", ours: "cli.ini:2: expected"},
		{args: "", ini: []string{"domains = [a.example, b.example]"}, differs: "certbot speaks of nargs", ours: "cli.ini:1: domains can't be set to a list"}, {args: "", ini: []string{"staging = maybe"}, differs: "we name the place", ours: "cli.ini:1: Unexpected value for staging: 'maybe'. Expecting 'true', 'false', 'yes', 'no', '1' or '0'"},
	}
}

func long(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a'
	}
	return string(b)
}
