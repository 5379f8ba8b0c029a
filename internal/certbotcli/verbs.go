package certbotcli

// Verb is a command of certbot's.
type Verb struct {
	Name   string
	Usage  string // without the program
	Help   string
	Hidden bool // gone from later certbots
	Origin Origin
}

// Verbs returns the table, in the order of certbot's help.
func Verbs() []Verb {
	return []Verb{
		{Name: "run", Usage: "[options] [-d DOMAIN] ...", Help: "obtain or renew a certificate and install it"},
		{Name: "certonly", Usage: "certonly [options] [-d DOMAIN] ...", Help: "obtain or renew a certificate without installing it"},
		{Name: "renew", Usage: "renew [--cert-name NAME] [options]", Help: "renew what is due, all of it or one lineage"},
		{Name: "certificates", Usage: "certificates [options]", Help: "list the certificates that there are"},
		{Name: "delete", Usage: "delete --cert-name NAME", Help: "delete a lineage with all its files"},
		{Name: "revoke", Usage: "revoke [--cert-path FILE | --cert-name NAME] [options]", Help: "have the CA revoke a certificate"},
		{Name: "register", Usage: "register --email ADDRESS [options]", Help: "make an account with the CA"},
		{Name: "update_account", Usage: "update_account --email ADDRESS [options]", Help: "change the account's addresses"},
		{Name: "unregister", Usage: "unregister [options]", Help: "deactivate the account, for ever"},
		{Name: "install", Usage: "install [--cert-name NAME | --cert-path FILE --key-path FILE] [options]", Help: "install a certificate that is there"},
		{Name: "rollback", Usage: "rollback [--checkpoints N] [options]", Help: "undo changes of a server's configuration"},
		{Name: "plugins", Usage: "plugins [options]", Help: "list the plugins"},
		{Name: "update_symlinks", Usage: "update_symlinks [options]", Help: "make the links in live anew", Hidden: true},
		{Name: "enhance", Usage: "enhance [options]", Help: "add redirects and headers to hosts that have HTTPS"},
		{Name: "show_account", Usage: "show_account [options]", Help: "show the account"},
		{Name: "reconfigure", Usage: "reconfigure --cert-name NAME [options]", Help: "change how a lineage is renewed, after a dry run", Origin: Certbot5},
	}
}

// verbOf resolves a word: the verbs and their two old names.
func verbOf(word string) (verb string, ok bool) {
	switch word {
	case "auth":
		return "certonly", true
	case "everything":
		return "run", true
	}
	for _, v := range Verbs() {
		if v.Name == word {
			return word, true
		}
	}
	return "", false
}

func verbNames() []string {
	var names []string
	for _, v := range Verbs() {
		if !v.Hidden {
			names = append(names, v.Name)
		}
	}
	return names
}
