package plesk

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
)

// el is an element of a request: its text, or what is below it. The order matters.
func el(name string, below ...string) string {
	if len(below) == 0 {
		return "<" + name + "/>"
	}
	return "<" + name + ">" + strings.Join(below, "") + "</" + name + ">"
}

// text is a text as it can stand in an element.
func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder has no errors
	return b.String()
}

func property(name, value string) string {
	return el("property", el("name", text(name)), el("value", text(value)))
}

// packet is an answer.
type packet struct {
	XMLName xml.Name `xml:"packet"`
	Version string   `xml:"version,attr"`
	System  *result  `xml:"system"`
	SiteGet []result `xml:"site>get>result"`
	SiteSet []result `xml:"site>set>result"`
	Pool    []result `xml:"certificate>get-pool>result"`
	Install []result `xml:"certificate>install>result"`
	Update  []result `xml:"certificate>update>result"`
	Remove  []result `xml:"certificate>remove>result"`
	AddRec  []result `xml:"dns>add_rec>result"`
	DelRec  []result `xml:"dns>del_rec>result"`
	GetRec  []result `xml:"dns>get_rec>result"`
}

// result is what came of one thing that was asked for.
type result struct {
	Status string `xml:"status"`
	Code   int    `xml:"errcode"`
	Text   string `xml:"errtext"`
	ID     string `xml:"id"`
	// Of a site.
	Name       string `xml:"data>gen_info>name"`
	Properties []struct {
		Name  string `xml:"name"`
		Value string `xml:"value"`
	} `xml:"data>hosting>vrt_hst>property"`
	// Of the certificates of a site.
	Names []string `xml:"certificates>certificate>name"`
	// Of a record.
	Type  string `xml:"data>type"`
	Host  string `xml:"data>host"`
	Value string `xml:"data>value"`
}

// Codes of errors (docs.plesk.com, API RPC, error codes).
const (
	badLogin   = 1001
	noObject   = 1013
	noDomain   = 1015
	badContent = 8002
)

// Error is what Plesk says about something that it did not do.
type Error struct {
	Code int
	Says string
}

func (e *Error) Error() string {
	says := fmt.Sprintf("error %d: %s", e.Code, clip(e.Says))
	switch e.Code {
	case badLogin:
		says += "; login or secret key are wrong, or the key is bound to another address than this machine's"
	case badContent:
		says += "; Plesk takes keys of RSA, and of ECDSA in newer versions"
	}
	return says
}

// missing reports whether what was asked for is not there.
func missing(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Code == noObject || e.Code == noDomain)
}

// parsePacket reads an answer. An error of all of it is an *Error.
func parsePacket(raw []byte) (*packet, error) {
	p := &packet{}
	if err := xml.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("the answer is not that of Plesk: %w", err)
	}
	if p.System != nil && p.System.Status != "ok" {
		return nil, &Error{p.System.Code, p.System.Text}
	}
	return p, nil
}

// check is the error of a result.
func (r *result) check() error {
	switch r.Status {
	case "ok":
		return nil
	case "error":
		return &Error{r.Code, r.Text}
	}
	return fmt.Errorf("the answer has a status %q", clip(r.Status))
}

func (r *result) property(name string) string {
	for _, p := range r.Properties {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// newer compares versions of the protocol: 1.6.9.1 is newer than 1.6.8.0.
func newer(version string, than [4]int) bool {
	var v [4]int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d.%d", &v[0], &v[1], &v[2], &v[3]); n < 3 {
		return true // one that is not known is a later one
	}
	for i := range v {
		if v[i] != than[i] {
			return v[i] > than[i]
		}
	}
	return true
}

// clip bounds what is quoted of somebody else's text, on one line.
func clip(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
