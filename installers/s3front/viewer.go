package s3front

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// viewer is the ViewerCertificate of a distribution's configuration: which certificate it
// shows, and how. Only its bytes are ever changed. A document that went through structs
// would lose what they do not know, and with it what the user has set.
type viewer struct {
	from, to int    // its bytes in the document; the same where it has none
	open     string // its start tag
	known    map[string]string
	rest     []byte // children that are not known here, as they are
}

// The children that choose a certificate. Two of them are old forms, which contradict the
// others once these are changed.
const (
	fromACM     = "ACMCertificateArn"
	fromIAM     = "IAMCertificateId"
	fromNowhere = "CloudFrontDefaultCertificate"
	support     = "SSLSupportMethod"
	minimum     = "MinimumProtocolVersion"
)

func isKnown(name string) bool {
	return slices.Contains([]string{fromACM, fromIAM, fromNowhere, support, minimum, "Certificate", "CertificateSource"}, name)
}

const viewerName = "ViewerCertificate"

// parseViewer finds it in a DistributionConfig.
func parseViewer(doc []byte) (*viewer, error) {
	v, err := findViewer(doc)
	if err != nil {
		return nil, fmt.Errorf("the distribution's configuration: %w", err)
	}
	return v, nil
}

func findViewer(doc []byte) (*viewer, error) {
	p := &viewerParser{doc: doc, dec: xml.NewDecoder(bytes.NewReader(doc))}
	for {
		p.begins = int(p.dec.InputOffset())
		token, err := p.dec.Token()
		switch {
		case errors.Is(err, io.EOF) && p.found != nil:
			return p.found, nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("it has no DistributionConfig")
		case err != nil:
			return nil, err
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, errors.New("it has a document type, which AWS does not send")
		case xml.StartElement:
			err = p.start(token)
		case xml.EndElement:
			err = p.end()
		case xml.CharData:
			if len(p.path) == 3 && p.inside() {
				p.text.Write(token)
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// viewerParser reads a document once, and notes where things are.
type viewerParser struct {
	doc    []byte
	dec    *xml.Decoder
	begins int // of the present token
	path   []string
	roots  int
	v      *viewer // the one that was met
	found  *viewer
	child  int // where the child begins
	text   bytes.Buffer
}

func (p *viewerParser) inside() bool { return len(p.path) > 1 && p.path[1] == viewerName }

func (p *viewerParser) start(e xml.StartElement) error {
	raw := p.doc[p.begins:p.dec.InputOffset()]
	p.path = append(p.path, e.Name.Local)
	switch {
	case len(p.path) > 200:
		return errors.New("it is nested too deeply")
	case len(p.path) == 1:
		if p.roots++; p.roots > 1 || e.Name.Local != "DistributionConfig" || !bytes.HasPrefix(raw, []byte("<DistributionConfig")) {
			return fmt.Errorf("it begins with %s", plain(e.Name.Local, 40))
		}
	case len(p.path) == 2 && e.Name.Local == viewerName:
		if p.v != nil || !bytes.HasPrefix(raw, []byte("<"+viewerName)) {
			return errors.New("it has more than one " + viewerName + ", or one of another namespace")
		}
		open := strings.TrimSuffix(strings.TrimSuffix(string(raw), ">"), "/") + ">"
		p.v = &viewer{from: p.begins, open: open, known: map[string]string{}}
	case len(p.path) == 3 && p.inside():
		p.child = p.begins
		p.text.Reset()
	}
	return nil
}

func (p *viewerParser) end() error {
	name := p.path[len(p.path)-1]
	offset := int(p.dec.InputOffset())
	switch {
	case len(p.path) == 3 && p.inside() && isKnown(name):
		if _, twice := p.v.known[name]; twice {
			return errors.New(viewerName + " has two of " + name)
		}
		p.v.known[name] = strings.TrimSpace(p.text.String())
	case len(p.path) == 3 && p.inside():
		p.v.rest = append(p.v.rest, p.doc[p.child:offset]...)
	case len(p.path) == 2 && p.inside():
		p.v.to = offset
	case len(p.path) == 1:
		if p.v == nil {
			if p.begins == offset {
				return errors.New("it is empty")
			}
			p.v = &viewer{from: p.begins, to: p.begins, open: "<" + viewerName + ">", known: map[string]string{}}
		}
		p.found = p.v
	}
	p.path = p.path[:len(p.path)-1]
	return nil
}

// shows reports whether it is the certificate of an ARN that is shown.
func (v *viewer) shows(arn string) bool {
	return v.known[fromACM] == arn && v.known[fromIAM] == "" && v.known[fromNowhere] != "true"
}

// own reports whether a certificate of the user's is shown, beside that of CloudFront
// itself.
func (v *viewer) own() bool {
	return v.known[fromNowhere] != "true" && (v.known[fromACM] != "" || v.known[fromIAM] != "")
}

// protocols are CloudFront's policies, the weakest first.
func protocols() []string {
	return []string{"SSLv3", "TLSv1", "TLSv1_2016", "TLSv1.1_2016", "TLSv1.2_2018", "TLSv1.2_2019", "TLSv1.2_2021"}
}

// protocol is the policy that a distribution has to have: at least the one that is given,
// or what the user has that is stronger, or newer than this program.
func (v *viewer) protocol(least string) string {
	has := v.known[minimum]
	rank := slices.Index(protocols(), has)
	if !v.own() || has == "" || rank >= 0 && rank < slices.Index(protocols(), least) {
		return least
	}
	return has
}

// with is the element that shows the certificate of an ARN.
func (v *viewer) with(arn, least string) []byte {
	method := v.known[support]
	if !v.own() || method == "" {
		method = "sni-only" // what stands beside CloudFront's own certificate costs money for another one
	}
	var b bytes.Buffer
	b.WriteString(v.open)
	for _, child := range [][2]string{{fromACM, arn}, {support, method}, {minimum, v.protocol(least)}} {
		b.WriteString("<" + child[0] + ">")
		_ = xml.EscapeText(&b, []byte(child[1])) // a buffer takes everything
		b.WriteString("</" + child[0] + ">")
	}
	b.Write(v.rest)
	b.WriteString("</" + viewerName + ">")
	return b.Bytes()
}

// replace is the document with another element in its place.
func (v *viewer) replace(doc, element []byte) []byte {
	return bytes.Join([][]byte{doc[:v.from], element, doc[v.to:]}, nil)
}

// element is what is in the document; nothing where it has none.
func (v *viewer) element(doc []byte) []byte { return doc[v.from:v.to] }
