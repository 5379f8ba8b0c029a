// Package targets is the table of all kinds of targets that have a package of their own
// and are described by package target.
package targets

import (
	"edge/installers/dovecot"
	"edge/installers/exim"
	"edge/installers/external"
	"edge/installers/gandi"
	"edge/installers/haproxy"
	"edge/installers/heroku"
	"edge/installers/hitch"
	"edge/installers/icecast"
	"edge/installers/kubernetes"
	"edge/installers/mariadb"
	"edge/installers/plesk"
	"edge/installers/postfix"
	"edge/installers/postgresql"
	"edge/installers/pritunl"
	"edge/installers/proxmox"
	"edge/installers/redis"
	"edge/installers/s3front"
	"edge/installers/sftp"
	"edge/installers/target"
	"edge/installers/varnish"
)

// All are the kinds, by name.
func All() []target.Kind {
	return []target.Kind{
		dovecot.Kind(),
		exim.Kind(),
		external.Kind(),
		gandi.Kind(),
		haproxy.Kind(),
		heroku.Kind(),
		hitch.Kind(),
		icecast.Kind(),
		kubernetes.Kind(),
		mariadb.Kind(),
		plesk.Kind(),
		postfix.Kind(),
		postgresql.Kind(),
		pritunl.Kind(),
		proxmox.Kind(),
		redis.Kind(),
		s3front.Kind(),
		sftp.Kind(),
		varnish.Kind(),
	}
}

// Named returns the kind of that name, or of one that a plugin of certbot's had; nil where
// there is none.
func Named(name string) *target.Kind {
	for _, k := range All() {
		if k.Name == name {
			return &k
		}
		for _, alias := range k.Aliases {
			if alias == name {
				return &k
			}
		}
	}
	return nil
}
