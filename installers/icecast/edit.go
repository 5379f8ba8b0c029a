package icecast

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"edge/installers"
)

// edit replaces a range of the source.
type edit struct {
	from, to int
	text     string
}

// apply makes edits, which do not overlap.
func apply(src []byte, edits []edit) ([]byte, error) {
	var out []byte
	done := 0
	for _, e := range sorted(edits) {
		if e.from < done || e.to < e.from || e.to > len(src) {
			return nil, errors.New("edits of the configuration overlap")
		}
		out = append(append(out, src[done:e.from]...), e.text...)
		done = e.to
	}
	return append(out, src[done:]...), nil
}

func sorted(edits []edit) []edit {
	return slices.SortedStableFunc(slices.Values(edits), func(a, b edit) int { return a.from - b.from })
}

// tlsMode is how a socket speaks TLS.
type tlsMode uint8

const (
	noTLS   tlsMode = iota
	withTLS         // both, or TLS after a plain request (2.5: auto, auto_no_plain)
	onlyTLS
)

// socket is a listen-socket.
type socket struct {
	e    *element
	ssl  *element // what says how it speaks TLS, nil for nothing
	mode tlsMode
	addr string
}

// sockets are those of a configuration, in their order.
func (doc *document) sockets() []socket {
	var list []socket
	for _, e := range doc.root.in("listen-socket") {
		s := socket{e: e}
		for _, name := range []string{"ssl", "tls", "tls-mode"} {
			if is := e.last(name); is != nil && (s.ssl == nil || is.from > s.ssl.from) {
				s.ssl = is
			}
		}
		if s.ssl != nil {
			s.mode = modeOf(s.ssl.value())
		}
		port := e.last("port").value()
		if port == "" {
			port = "8000" // Icecast's own
		}
		s.addr = net.JoinHostPort(e.last("bind-address").value(), port)
		list = append(list, s)
	}
	return list
}

// modeOf is what Icecast 2.4 and 2.5 make of a value.
func modeOf(value string) tlsMode {
	switch v := strings.ToLower(value); v {
	case "true", "yes", "on", "rfc2818":
		return onlyTLS
	case "auto", "auto_no_plain":
		return withTLS
	case "", "disabled", "rfc2817", "false", "no", "off":
		return noTLS
	}
	digits := strings.TrimLeft(value, "0")
	if digits != "" && digits[0] >= '1' && digits[0] <= '9' {
		return onlyTLS
	}
	return noTLS
}

// places are where TLS is spoken, and where nothing else must be.
func (doc *document) places() (at []installers.Endpoint, strict []string) {
	for _, s := range doc.sockets() {
		if s.mode != noTLS {
			at = append(at, installers.Endpoint{Addr: s.addr})
		}
		if s.mode == onlyTLS {
			strict = append(strict, s.addr)
		}
	}
	return at, strict
}

// wanted is what a configuration has to have.
type wanted struct {
	bundle string
	create bool // a new socket where none has TLS; else the first one gets it
	port   int
}

// edits are what is missing, with notes for people.
func (doc *document) edits(w wanted) (edits []edit, notes []string, err error) {
	if doc.root.name != "icecast" {
		return nil, nil, fmt.Errorf("the root element is %.40q, not icecast", doc.root.name)
	}
	edits, err = doc.certificate(w.bundle)
	if err != nil {
		return nil, nil, err
	}
	if len(edits) > 0 {
		notes = append(notes, "the configuration names "+w.bundle)
	}
	sockets := doc.sockets()
	if slices.ContainsFunc(sockets, func(s socket) bool { return s.mode != noTLS }) {
		return edits, notes, nil
	}
	if !w.create && len(sockets) > 0 {
		e, err := doc.turnOn(sockets[0])
		return append(edits, e), append(notes, "the socket "+sockets[0].addr+" speaks TLS alone from now on"), err
	}
	for _, s := range sockets {
		if _, port, _ := net.SplitHostPort(s.addr); port == strconv.Itoa(w.port) {
			return nil, nil, fmt.Errorf("the port %s of the new socket is that of a socket without TLS; set new_ssl_socket_port", port)
		}
	}
	e, err := doc.newSocket(sockets, w.port)
	return append(edits, e), append(notes, fmt.Sprintf("a new socket with TLS at port %d", w.port)), err
}

// certificate has all elements that name the certificate name the bundle.
func (doc *document) certificate(bundle string) ([]edit, error) {
	var list []edit
	set := func(e *element) error {
		if e.value() == bundle {
			return nil
		}
		to, err := doc.setText(e, bundle)
		list = append(list, to)
		return err
	}
	has := false
	if tls := doc.root.last("tls-context"); tls != nil { // Icecast 2.5
		for _, name := range []string{"tls-certificate", "tls-key"} {
			if e := tls.last(name); e != nil {
				if err := set(e); err != nil {
					return nil, err
				}
			}
		}
		has = tls.last("tls-certificate") != nil
	}
	paths := doc.root.last("paths")
	for _, name := range []string{"ssl-certificate", "tls-certificate"} {
		if e := paths.last(name); e != nil {
			if err := set(e); err != nil {
				return nil, err
			}
			has = true
		}
	}
	if has {
		return list, nil
	}
	text, err := doc.escaped(bundle)
	if err != nil {
		return nil, err
	}
	in, line := doc.root.last("tls-context"), "<tls-certificate>"+text+"</tls-certificate>"
	if in == nil {
		in, line = paths, "<ssl-certificate>"+text+"</ssl-certificate>"
	}
	if in == nil {
		in, line = doc.root, "<paths><ssl-certificate>"+text+"</ssl-certificate></paths>"
	}
	e, err := doc.append(in, line)
	return append(list, e), err
}

// setText gives an element another text.
func (doc *document) setText(e *element, text string) (edit, error) {
	text, err := doc.escaped(text)
	switch {
	case err != nil:
		return edit{}, err
	case !e.plain:
		return edit{}, fmt.Errorf("the element %s has more than text in it; write it plainly", e.name)
	case e.inner == e.to: // <x/>
		return edit{e.from, e.to, "<" + e.name + ">" + text + "</" + e.name + ">"}, nil
	}
	return edit{e.inner, e.after, text}, nil
}

// turnOn has a socket speak TLS.
func (doc *document) turnOn(s socket) (edit, error) {
	if s.ssl != nil {
		return doc.setText(s.ssl, "1")
	}
	return doc.append(s.e, "<ssl>1</ssl>")
}

// newSocket comes after the last one, and is bound to the same address.
func (doc *document) newSocket(sockets []socket, port int) (edit, error) {
	if len(sockets) == 0 {
		return doc.append(doc.root, fmt.Sprintf("<listen-socket><port>%d</port><ssl>1</ssl></listen-socket>", port))
	}
	last := sockets[len(sockets)-1].e
	outer := doc.indent(last)
	inner := outer + "    "
	if len(last.children) > 0 {
		inner = doc.indent(last.children[0])
	}
	lines := []string{outer + "<listen-socket>", inner + fmt.Sprintf("<port>%d</port>", port)}
	if bind := last.last("bind-address"); bind.value() != "" {
		lines = append(lines, inner+string(doc.src[bind.from:bind.to]))
	}
	lines = append(lines, inner+"<ssl>1</ssl>", outer+"</listen-socket>")
	return edit{last.to, last.to, doc.eol + strings.Join(lines, doc.eol)}, nil
}

// append adds a line at the end of an element.
func (doc *document) append(e *element, line string) (edit, error) {
	if e.inner == e.to {
		return edit{}, fmt.Errorf("the element <%s/> is empty; write <%[1]s></%[1]s>", e.name)
	}
	if n := len(e.children); n > 0 {
		last := e.children[n-1]
		return edit{last.to, last.to, doc.eol + doc.indent(last) + line}, nil
	}
	return edit{e.after, e.after, line}, nil
}

// indent is the white space before an element, "" where something else is before it.
func (doc *document) indent(e *element) string {
	begin := bytes.LastIndexByte(doc.src[:e.from], '\n') + 1
	space := string(doc.src[begin:e.from])
	if strings.Trim(space, " \t") != "" {
		return ""
	}
	return space
}
