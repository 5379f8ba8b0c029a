package certbotcli

import "slices"

// shortUsage is the head of every usage error and every help.
func shortUsage(program string) string {
	return "  " + program + " [SUBCOMMAND] [options] [-d DOMAIN] [-d DOMAIN] ...\n\n" +
		"Obtains, renews and installs certificates. \"" + program + " --help\" has the overview.\n"
}

func isTopic(s string) bool { return slices.Contains(verbNames(), s) }

// Help is what --help prints, for a topic or as an overview.
func Help(topic string, env Env) string { return shortUsage(env.program()) }
