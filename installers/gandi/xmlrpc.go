package gandi

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The values of XML-RPC (http://xmlrpc.com/spec.md) are int64, bool, string, float64,
// []byte, []any and map[string]any; dateTime.iso8601 is a string, nil is nil.

// fault is an error that the other side reports.
type fault struct {
	Code int64
	Says string
}

func (f *fault) Error() string { return fmt.Sprintf("fault %d: %s", f.Code, f.Says) }

// encodeCall makes the body of a request.
func encodeCall(method string, params ...any) []byte {
	var b bytes.Buffer
	b.WriteString("<?xml version=\"1.0\"?>\n<methodCall><methodName>")
	escape(&b, method)
	b.WriteString("</methodName><params>")
	for _, p := range params {
		b.WriteString("<param>")
		encode(&b, p)
		b.WriteString("</param>")
	}
	b.WriteString("</params></methodCall>\n")
	return b.Bytes()
}

func escape(b *bytes.Buffer, s string) {
	_ = xml.EscapeText(b, []byte(s)) // a Buffer has no errors
}

func encode(b *bytes.Buffer, v any) {
	b.WriteString("<value>")
	switch v := v.(type) {
	case int64:
		b.WriteString("<int>" + strconv.FormatInt(v, 10) + "</int>")
	case string:
		b.WriteString("<string>")
		escape(b, v)
		b.WriteString("</string>")
	case map[string]any:
		b.WriteString("<struct>")
		var names []string
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			b.WriteString("<member><name>")
			escape(b, name)
			b.WriteString("</name>")
			encode(b, v[name])
			b.WriteString("</member>")
		}
		b.WriteString("</struct>")
	default:
		panic(fmt.Sprintf("gandi: %T cannot be sent", v))
	}
	b.WriteString("</value>")
}

// node is an element.
type node struct {
	name string
	text string
	sub  []*node
}

const (
	maxDepth = 20
	maxNodes = 20000
)

// tree reads a document, without entities of its own, attributes and comments.
func tree(raw []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(raw))
	root := &node{}
	open, count := []*node{root}, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		top := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			if count++; count > maxNodes || len(open) > maxDepth {
				return nil, errors.New("it is too large")
			}
			n := &node{name: t.Name.Local}
			top.sub = append(top.sub, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			top.text += string(t)
		}
	}
	if len(root.sub) != 1 {
		return nil, errors.New("it is no XML document")
	}
	return root.sub[0], nil
}

// child is the only element below, which has to have that name.
func (n *node) child(name string) (*node, error) {
	if len(n.sub) != 1 || n.sub[0].name != name {
		return nil, fmt.Errorf("%s has something else than one %s", short(n.name), name)
	}
	return n.sub[0], nil
}

func (n *node) path(names ...string) (*node, error) {
	var err error
	for _, name := range names {
		if n, err = n.child(name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// decodeResponse reads an answer; a fault is a *fault.
func decodeResponse(raw []byte) (any, error) {
	doc, err := tree(raw)
	if err != nil {
		return nil, err
	}
	if doc.name != "methodResponse" || len(doc.sub) != 1 {
		return nil, errors.New("it is no methodResponse")
	}
	if doc.sub[0].name == "fault" {
		v, err := doc.path("fault", "value")
		if err != nil {
			return nil, err
		}
		what, err := v.value()
		if err != nil {
			return nil, err
		}
		m, ok := what.(map[string]any)
		code, hasCode := m["faultCode"].(int64)
		says, hasText := m["faultString"].(string)
		if !ok || !hasCode || !hasText {
			return nil, errors.New("its fault says nothing")
		}
		return nil, &fault{code, short(says)}
	}
	v, err := doc.path("params", "param", "value")
	if err != nil {
		return nil, err
	}
	return v.value()
}

// value reads a value element.
func (n *node) value() (any, error) {
	if len(n.sub) == 0 {
		return n.text, nil
	}
	if len(n.sub) != 1 {
		return nil, errors.New("a value has several types")
	}
	of := n.sub[0]
	switch of.name {
	case "int", "i4", "i8":
		return strconv.ParseInt(strings.TrimSpace(of.text), 10, 64)
	case "boolean":
		switch strings.TrimSpace(of.text) {
		case "0":
			return false, nil
		case "1":
			return true, nil
		}
		return nil, errors.New("a boolean is neither 0 nor 1")
	case "string", "dateTime.iso8601":
		return of.text, nil
	case "double":
		return strconv.ParseFloat(strings.TrimSpace(of.text), 64)
	case "base64":
		return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(of.text), ""))
	case "nil":
		return nil, nil
	case "array":
		return of.array()
	case "struct":
		return of.members()
	}
	return nil, fmt.Errorf("a value of type %q", short(of.name))
}

func (n *node) array() (any, error) {
	data, err := n.child("data")
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, v := range data.sub {
		if v.name != "value" {
			return nil, errors.New("an array has something else than values")
		}
		one, err := v.value()
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func (n *node) members() (any, error) {
	m := map[string]any{}
	for _, e := range n.sub {
		if e.name != "member" || len(e.sub) != 2 || e.sub[0].name != "name" || e.sub[1].name != "value" {
			return nil, errors.New("a struct has something else than members")
		}
		v, err := e.sub[1].value()
		if err != nil {
			return nil, err
		}
		m[e.sub[0].text] = v
	}
	return m, nil
}

// short bounds what is quoted of somebody else's text.
func short(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
