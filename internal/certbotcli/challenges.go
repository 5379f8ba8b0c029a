package certbotcli

import (
	"slices"
	"strings"

	"edge"
)

// parseChallenges is certbot's parse_preferred_challenges, with the two kinds
// that certbot has no more (tls-sni-01) or never had (tls-alpn by that name).
// unknown are the words that are none.
func parseChallenges(words []string) (types, unknown []string) {
	for _, w := range words {
		w = strip(w)
		switch w {
		case "dns", "http", "tls-sni", "tls-alpn":
			w += "-01"
		}
		if !slices.Contains(edge.ChallengeTypes, edge.ChallengeType(w)) {
			unknown = append(unknown, w)
		}
		types = append(types, w)
	}
	return types, unknown
}

func (p *parser) addChallenges(f *Flag, value string) error {
	types, unknown := parseChallenges(strings.Split(value, ","))
	if unknown != nil {
		return p.argument(f, "Unrecognized challenges: "+strings.Join(unknown, ", "))
	}
	p.o.PrefChallenges = append(p.o.PrefChallenges, types...)
	return nil
}

// oldChallenges is certbot 0.19's way to say --preferred-challenges, for its
// standalone plugin; "dvsni" is what TLS-SNI-01 was called before.
func (p *parser) oldChallenges(f *Flag, value string) error {
	types, unknown := parseChallenges(strings.Split(strings.ReplaceAll(value, "dvsni", "tls-sni-01"), ","))
	if unknown != nil {
		return p.argument(f, "Unrecognized challenges: "+strings.Join(unknown, ", "))
	}
	p.oldChallengeTypes = types
	p.o.Warnings = append(p.o.Warnings, f.Long()+" is deprecated; --preferred-challenges has taken its place.")
	return nil
}
