// Package certbotcli is certbot's command line and cli.ini: the same grammar
// (Python's argparse with ConfigArgParse), flags, values, refusals and texts,
// in one typed struct. What certbot has no word for, edge's own flags, is here
// as well.
//
//	argv, cli.ini -> Parse -> Options, which know what was said and where
//	Options <-> [renewalparams] and [edge] of a lineage's renewal file
//
// flags_*.go are the tables: documentation, completion and suggestions come from
// them too. Tests feed the same words to Debian's certbot and compare.
//
// Parse reads the files that are named on the command line or that certbot looks
// for by itself. Nothing here knows lineages, accounts, plugins' insides, or the
// network.
package certbotcli
