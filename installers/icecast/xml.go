package icecast

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	maxConf  = 4 << 20 // bytes
	maxDepth = 100     // elements in elements
)

// element is one of the document, with where it is in the source.
type element struct {
	name string
	// From begins the start tag, inner what is in the element, after that its end tag, and
	// to what follows. Of <x/> inner, after and to are the same.
	from, inner, after, to int
	text                   string // without that of elements in it
	plain                  bool   // there is nothing but text in it
	children               []*element
}

// document is a parsed configuration.
type document struct {
	src  []byte
	root *element
	utf8 bool
	eol  string
}

// parse wants a well-formed document in UTF-8, or in an encoding that has ASCII in single
// bytes.
func parse(src []byte) (*document, error) {
	if len(src) > maxConf {
		return nil, fmt.Errorf("it has more than %d bytes", maxConf)
	}
	doc := &document{src: src, utf8: true, eol: "\n"}
	if bytes.Contains(src, []byte("\r\n")) {
		doc.eol = "\r\n"
	}
	readable := bytes.Clone(src)
	if !utf8.Valid(src) {
		doc.utf8 = false
		for i, c := range readable {
			if c >= 0x80 {
				readable[i] = 'x' // of the same length
			}
		}
	}
	d := xml.NewDecoder(bytes.NewReader(readable))
	d.CharsetReader = func(name string, in io.Reader) (io.Reader, error) {
		if !singleByte(name) {
			return nil, fmt.Errorf("the encoding %.30q is not known; convert it to UTF-8", name)
		}
		doc.utf8 = false
		return in, nil
	}
	if err := doc.read(d); err != nil {
		line := 1 + bytes.Count(src[:min(int(d.InputOffset()), len(src))], []byte("\n"))
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	if !doc.utf8 && utf8.Valid(src) {
		doc.utf8 = declared(src)
	}
	return doc, nil
}

// declared reports whether bytes that are valid UTF-8 are meant as such.
func declared(src []byte) bool {
	head, _, _ := bytes.Cut(src[:min(len(src), 200)], []byte("?>"))
	return !bytes.Contains(bytes.ToLower(head), []byte("encoding")) || bytes.Contains(bytes.ToLower(head), []byte("utf-8"))
}

// singleByte are encodings in which no byte of a character looks like ASCII.
func singleByte(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "iso-8859-") || strings.HasPrefix(name, "windows-125") || strings.HasPrefix(name, "koi8-") || name == "us-ascii" || name == "ascii"
}

// read takes the tokens of the decoder, which wants tags to match.
func (doc *document) read(d *xml.Decoder) error {
	var open []*element
	for {
		from := int(d.InputOffset())
		t, err := d.Token()
		to := int(d.InputOffset())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local, from: from, inner: to, plain: true}
			switch {
			case len(open) > 0:
				above := open[len(open)-1]
				above.children = append(above.children, e)
				above.plain = false
			case doc.root != nil:
				return errors.New("a second root element")
			default:
				doc.root = e
			}
			if open = append(open, e); len(open) > maxDepth {
				return errors.New("too many elements in elements")
			}
		case xml.EndElement:
			e := open[len(open)-1]
			e.after, e.to = from, to
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text += string(t)
			} else if s := strings.TrimPrefix(string(t), "\ufeff"); strings.TrimSpace(s) != "" && (doc.utf8 || s != "xxx") {
				return errors.New("text beside the root element")
			}
		default:
			if len(open) > 0 {
				open[len(open)-1].plain = false
			}
		}
	}
	if doc.root == nil {
		return errors.New("there is no element in it")
	}
	return nil
}

// in are the elements of a name in an element; nil has none.
func (e *element) in(name string) []*element {
	var list []*element
	if e != nil {
		for _, c := range e.children {
			if c.name == name {
				list = append(list, c)
			}
		}
	}
	return list
}

// last is the one of them that counts, nil where there is none.
func (e *element) last(name string) *element {
	if list := e.in(name); len(list) > 0 {
		return list[len(list)-1]
	}
	return nil
}

// value is the text of an element, "" of nil.
func (e *element) value() string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.text)
}

// escaped is a text for an element.
func (doc *document) escaped(s string) (string, error) {
	for _, r := range s {
		if r < ' ' || r == utf8.RuneError || r == 0x7f || r >= 0x80 && !doc.utf8 {
			return "", fmt.Errorf("%q cannot be written into the configuration", s)
		}
	}
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s), nil
}
