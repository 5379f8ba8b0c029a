package authenticator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"edge"
)

// certbot's texts. The full stop after the name of a TXT record keeps zone editors
// from adding the zone to it.
const (
	httpText = "Create a file containing just this data:\n\n%s\n\nAnd make it available on your web server at this URL:\n\n%s\n"
	dnsText  = "Please deploy a DNS TXT record under the name:\n\n%s.\n\nwith the following value:\n\n%s\n"
	sniText  = "Configure the service listening on port %d to present the certificate\n%s\nusing the secret key\n%s\n" +
		"when it receives a TLS ClientHello with the SNI extension set to\n%s\n"
	nextText    = "\n(This must be set up in addition to the previous challenges; do not remove,\nreplace, or undo the previous challenge tasks yet.)\n"
	nextDNSText = "\n(This must be set up in addition to the previous challenges; do not remove,\nreplace, or undo the previous challenge tasks yet. Note that you might be\n" +
		"asked to create multiple distinct TXT records with the same name. This is\npermitted by DNS standards.)\n"
	verifyDNSText = "\nBefore continuing, verify the TXT record has been deployed. Depending on the DNS\nprovider, this may take some time, from a few seconds to multiple minutes. You can\n" +
		"check if it has finished deploying with aid of online tools, such as the Google\nAdmin Toolbox: https://toolbox.googleapps.com/apps/dig/#TXT/%s.\n" +
		"Look for one or more bolded line(s) below the line ';ANSWER'. It should show the\nvalue(s) you've just added.\n"
	enterText = "Press Enter to Continue"
)

// frame stands before and after a text for people.
var frame = strings.Repeat("- ", 39) + "-"

// instructions tell a person what to do for one answer of a batch.
func (m *Manual) instructions(batch []edge.Answer, n int, env map[string]string) string {
	a := batch[n]
	lastDNS, dnsBefore := 0, false
	for i, b := range batch {
		if b.Type == edge.DNS01 {
			lastDNS = i
			dnsBefore = dnsBefore || i < n
		}
	}
	next := ""
	if n > 0 {
		next = nextText
	}
	switch a.Type {
	case edge.DNS01:
		if dnsBefore {
			next = nextDNSText
		}
		if n == lastDNS {
			next += fmt.Sprintf(verifyDNSText, dnsName(a))
		}
		return fmt.Sprintf(dnsText, dnsName(a), dnsValue(a)) + next
	case edge.TLSSNI01:
		return fmt.Sprintf(sniText, m.o.SNIPort, env["CERTBOT_CERT_PATH"], env["CERTBOT_KEY_PATH"], env["CERTBOT_SNI_DOMAIN"]) + next
	}
	return fmt.Sprintf(httpText, a.KeyAuth, challengeURL(a)) + next
}

// challengeURL is where a CA looks for an HTTP-01 answer.
func challengeURL(a edge.Answer) string {
	return "http://" + urlHost(a.Identifier) + edge.HTTP01Prefix + a.Token
}

func urlHost(id edge.Identifier) string {
	if ip, err := netip.ParseAddr(id.Value); err == nil && ip.Is6() {
		return "[" + id.Value + "]"
	}
	return id.Value
}

// ask shows a text and waits for Enter. Where ctx ends first, the read goes on
// until there is a line: nothing can stop it.
func (m *Manual) ask(ctx context.Context, text string) error {
	if _, err := fmt.Fprintf(m.o.Out, "\n%s\n%s\n%s\n%s", frame, text, frame, enterText); err != nil {
		return err
	}
	line := make(chan error, 1)
	go func() { line <- skipLine(m.o.In) }()
	select {
	case err := <-line:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// skipLine reads to the end of a line and not beyond: others read from there as well.
func skipLine(r io.Reader) error {
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		switch {
		case n == 1 && b[0] == '\n':
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("standard input ended before Enter was pressed")
		case err != nil:
			return err
		}
	}
}
