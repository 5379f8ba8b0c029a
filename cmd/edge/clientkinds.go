package main

import (
	"context"
	"strings"

	"edge"
	"edge/installers"
	"edge/installers/apache"
	"edge/installers/nginx"
	"edge/internal/certbotcli"
)

// webServerKinds are the servers that there are packages for.
func webServerKinds() []webServerKind {
	return []webServerKind{
		{"nginx", "Nginx Web Server plugin", openNginx},
		{"apache", "Apache Web Server plugin", openApache},
	}
}

func openNginx(ctx context.Context, o *certbotcli.Options, t *installers.Runner) (openServer, error) {
	n, err := nginx.Detect(ctx, nginx.Options{Ctl: o.NginxCtl, ServerRoot: o.NginxServerRoot, Settle: o.NginxSleep})
	if err != nil {
		return openServer{}, err
	}
	auth := n.Authenticator(nginx.AuthenticatorOptions{
		Runner: t, HTTPPort: uint16(o.HTTP01Port), HTTPSPort: uint16(o.HTTPSPort), ConfigDir: o.ConfigDir, WorkDir: o.WorkDir, TLSSNI: asksSNI(o),
	})
	// Of uir, the plan says that it cannot be done, as certbot's does.
	return openServer{n, auth, []string{"redirect", "hsts", "staple", "uir"}}, nil
}

func openApache(ctx context.Context, o *certbotcli.Options, t *installers.Runner) (openServer, error) {
	// certbot's defaults on Debian are what nobody said: the distribution decides.
	said := func(dest, value, debian string) string {
		if value == debian && !o.IsSet(dest) {
			return ""
		}
		return value
	}
	a, err := apache.Detect(ctx, apache.Options{
		ServerRoot: said("apache_server_root", o.ApacheServerRoot, "/etc/apache2"), VhostRoot: o.ApacheVhostRoot,
		LogsRoot:          said("apache_logs_root", o.ApacheLogsRoot, "/var/log/apache2"),
		ChallengeLocation: said("apache_challenge_location", o.ApacheChallengeLocation, "/etc/apache2"),
		LeVhostExt:        o.ApacheLEVhostExt,
		Enmod:             said("apache_enmod", o.ApacheEnmod, "a2enmod"), Dismod: said("apache_dismod", o.ApacheDismod, "a2dismod"),
		Ctl: said("apache_ctl", o.ApacheCtl, "apache2ctl"), Bin: o.ApacheBin,
		HandleModules: handles(o, "apache_handle_modules", o.ApacheHandleModules), HandleSites: handles(o, "apache_handle_sites", o.ApacheHandleSites),
	})
	if err != nil {
		return openServer{}, err
	}
	auth := a.Authenticator(apache.AuthenticatorOptions{
		Runner: t, HTTPPort: uint16(o.HTTP01Port), HTTPSPort: uint16(o.HTTPSPort), ConfigDir: o.ConfigDir, WorkDir: o.WorkDir, TLSSNI: asksSNI(o),
	})
	return openServer{a, auth, []string{"redirect", "hsts", "uir", "staple"}}, nil
}

// handles is whether edge may do something itself; nil: as is usual for the
// distribution.
func handles(o *certbotcli.Options, dest, value string) *bool {
	yes := strings.EqualFold(value, "true")
	if yes && !o.IsSet(dest) {
		return nil
	}
	return &yes
}

func asksSNI(o *certbotcli.Options) bool {
	for _, c := range o.PrefChallenges {
		if c == string(edge.TLSSNI01) {
			return true
		}
	}
	return false
}
