package display

import (
	"context"
	"errors"
	"slices"
	"strings"
)

const ended = refused("User ended interaction.")

// ErrNoCertificates says that there is nothing to choose from.
var ErrNoCertificates error = plain("No existing certificates found.")

// plain is one of certbot's texts.
type plain string

func (p plain) Error() string { return string(p) }

// ChooseCert asks which lineage a verb ("enhance", "install") is about. Prompt may be
// empty for certbot's usual one.
func ChooseCert(ctx context.Context, d Display, verb, prompt string, lineages []string) (string, error) {
	if len(lineages) == 0 {
		return "", ErrNoCertificates
	}
	if prompt == "" {
		prompt = "Which certificate would you like to " + verb + "?"
	}
	n, err := d.Menu(ctx, prompt, Choices(lineages), MenuOptions{Always: true, Flag: "--cert-name"})
	switch {
	case errors.Is(err, ErrCancelled):
		return "", ended
	case err != nil:
		return "", err
	}
	return lineages[n], nil
}

// ChooseCerts asks which lineages a verb ("delete") is about.
func ChooseCerts(ctx context.Context, d Display, verb string, lineages []string) ([]string, error) {
	if len(lineages) == 0 {
		return nil, ErrNoCertificates
	}
	chosen, err := d.Checklist(ctx, "Which certificate(s) would you like to "+verb+"?", lineages, ChecklistOptions{Always: true, Flag: "--cert-name"})
	if errors.Is(err, ErrCancelled) {
		err = ended
	}
	return chosen, err
}

// ConfirmDelete asks before lineages are deleted. Where nobody can be asked, the
// answer is yes.
func ConfirmDelete(ctx context.Context, d Display, lineages []string) (bool, error) {
	text := "The following certificate(s) are selected for deletion:\n"
	for _, l := range lineages {
		text += "\n  * " + CleanLine(l)
	}
	text += "\n\nWARNING: Before continuing, ensure that the listed certificates are not being used by any installed server software " +
		"(e.g. Apache, nginx, mail servers). Deleting a certificate that is still being used will cause the server software to stop working. " +
		"See https://certbot.org/deleting-certs for information on deleting certificates safely.\n\n" +
		"Are you sure you want to delete the above certificate(s)?"
	return d.YesNo(ctx, text, "Yes", "No", YesNoOptions{Default: new(true)})
}

// ConfirmDeleteRevoked asks whether lineages are deleted after they were revoked.
// Where nobody can be asked, the answer is yes.
func ConfirmDeleteRevoked(ctx context.Context, d Display) (bool, error) {
	return d.YesNo(ctx, "Would you like to delete the certificate(s) you just revoked, along with all earlier and later versions of the certificate?",
		"Yes (recommended)", "No", YesNoOptions{Default: new(true), Always: true, Flag: "--delete-after-revoke or --no-delete-after-revoke"})
}

// ConfirmNewNames asks whether lineage shall have other names from now on. No is
// an error that wraps ErrCancelled.
func ConfirmNewNames(ctx context.Context, d Display, lineage string, before, after []string) error {
	text := "You are updating certificate " + CleanLine(lineage) + " to include new domain(s): " + bullets("+", after, before) +
		"\n\nYou are also removing previously included domain(s): " + bullets("-", before, after) +
		"\n\nDid you intend to make this change?"
	yes, err := d.YesNo(ctx, text, "Update certificate", "Cancel", YesNoOptions{Default: new(true), Flag: "--renew-with-new-domains"})
	if err == nil && !yes {
		err = refused("Specified mismatched certificate name and domains.")
	}
	return err
}

// bullets lists those of all that are not in but.
func bullets(mark string, all, but []string) string {
	out := ""
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	for _, s := range slices.Compact(sorted) {
		if !slices.Contains(but, s) {
			out += "\n" + mark + " " + CleanLine(s)
		}
	}
	if out == "" {
		return "\n(None)"
	}
	return out
}

// Expansion is the question whether a lineage gets more names.
type Expansion struct {
	Conf      string   // path of the renewal configuration
	Existing  []string // names that the lineage has
	Requested []string
	Command   string // the verb and flags of this run, with the program's name before them
}

// ConfirmExpand asks it. No is an error that wraps ErrCancelled, after a hint how to
// have both.
func ConfirmExpand(ctx context.Context, d Display, e Expansion) error {
	existing := strings.Join(cleanLines(e.Existing), ", ")
	yes, err := d.YesNo(ctx, "You have an existing certificate that contains a portion of the domains you requested (ref: "+CleanLine(e.Conf)+")\n\n"+
		"It contains these names: "+existing+"\n\nYou requested these names for the new certificate: "+strings.Join(cleanLines(e.Requested), ", ")+
		".\n\nDo you want to expand and replace this existing certificate with the new certificate?",
		"Expand", "Cancel", YesNoOptions{Always: true, Flag: "--expand"})
	if err != nil || yes {
		return err
	}
	program, rest, _ := strings.Cut(e.Command, " ")
	d.Notify("To obtain a new certificate that contains these names without replacing your existing certificate for "+existing+
		", you must use the --duplicate option.\n\nFor example:\n\n"+CleanLine(program+" --duplicate "+rest), false)
	return refused("User chose to cancel the operation and may reinvoke the client.")
}

// Identical is the answer to what becomes of a lineage that is wanted once more.
type Identical int

// The answers of AskIdentical.
const (
	Keep  Identical = iota // and install it once more, with the verb run
	Renew                  // at once
)

// AskIdentical asks it. Verb is "run" or "certonly", conf the path of the renewal
// configuration. Where nobody can be asked, the answer is Keep.
func AskIdentical(ctx context.Context, d Display, verb, conf string) (Identical, error) {
	keep := "Keep the existing certificate for now"
	if verb == "run" {
		keep = "Attempt to reinstall this existing certificate"
	}
	n, err := d.Menu(ctx, "You have an existing certificate that has exactly the same domains or certificate name you requested and isn't close to expiry.\n"+
		"(ref: "+CleanLine(conf)+")\n\nWhat would you like to do?",
		Choices([]string{keep, "Renew & replace the certificate (may be subject to CA rate limits)"}), MenuOptions{Default: new(0), Always: true})
	if errors.Is(err, ErrCancelled) {
		err = refused("Operation canceled. You may re-run the client.")
	}
	return Identical(n), err
}

// ConfirmKeyType asks whether a lineage changes from one type of key ("RSA") to
// another ("ECDSA"). Where nobody can be asked, the answer is no.
func ConfirmKeyType(ctx context.Context, d Display, lineage, from, to string) (bool, error) {
	return d.YesNo(ctx, "An "+from+" certificate named "+CleanLine(lineage)+" already exists. Do you want to update its key type to "+to+"?",
		"Update key type", "Keep existing key type", YesNoOptions{Default: new(false)})
}
