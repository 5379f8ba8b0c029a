package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"golang.org/x/net/http/httpguts"
)

// head reads the head of a request. What breaks HTTP/3 comes back as an error
// that ends the stream or the connection; bad is answered.
func (h *h3conn) head(str *quic.Stream, in *h3input) (r *http.Request, bad *refusal, err error) {
	kind, size, err := requestFrame(in.Reader, maxSkipped)
	switch {
	case err != nil:
		return h.late(err)
	case kind != h3Headers:
		return nil, nil, connFault(h3FrameUnexpected, "a request does not begin with HEADERS")
	case size > uint64(h.most()):
		return nil, refuseHeader, nil
	}
	block := bytes.NewBuffer(make([]byte, 0, min(size, 4<<10)))
	if _, err := io.CopyN(block, in, int64(size)); err != nil {
		return h.late(unexpectedEnd(err))
	}
	f := h3fields{header: http.Header{}, left: h.most()}
	if err := f.decode(block.Bytes()); err != nil {
		if errors.Is(err, errFieldsTooLarge) {
			return nil, refuseHeader, nil
		}
		return nil, nil, err
	}
	if r, err = f.request(); err != nil {
		return nil, nil, err
	}
	r.RemoteAddr = h.conn.remote.String()
	if err := h.body(r, in); err != nil {
		return h.late(err)
	}
	return r.WithContext(str.Context()), nil, nil
}

// late tells a head that took too long from one that broke off.
func (h *h3conn) late(err error) (*http.Request, *refusal, error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &refusal{status: http.StatusRequestTimeout, reason: "the request head took too long"}, nil
	}
	return nil, nil, err
}

// h3fields is a decoded field section of a request.
type h3fields struct {
	method, scheme, authority, path, protocol string

	pseudo  uint // bits of the pseudo-header fields that came
	regular bool // a regular field has come
	header  http.Header
	left    int // what the section may still add, as RFC 9114 section 4.2.2 counts
}

var errFieldsTooLarge = errors.New("field section too large")

func (f *h3fields) decode(block []byte) error {
	next := qpack.NewDecoder().Decode(block)
	for {
		hf, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return connFault(h3DecompressionFailed, "malformed field section")
		}
		if f.left -= len(hf.Name) + len(hf.Value) + 32; f.left < 0 {
			return errFieldsTooLarge
		}
		if !httpguts.ValidHeaderFieldValue(hf.Value) {
			return streamFault(h3MessageError, "control character in a header field")
		}
		if strings.HasPrefix(hf.Name, ":") {
			err = f.pseudoField(hf.Name, hf.Value)
		} else {
			err = f.field(hf.Name, hf.Value)
		}
		if err != nil {
			return err
		}
	}
}

func (f *h3fields) pseudoField(name, value string) error {
	into, bit := &f.method, uint(1)
	switch name {
	case ":method":
	case ":scheme":
		into, bit = &f.scheme, 2
	case ":authority":
		into, bit = &f.authority, 4
	case ":path":
		into, bit = &f.path, 8
	case ":protocol":
		into, bit = &f.protocol, 16
	default:
		return streamFault(h3MessageError, "unknown pseudo-header field")
	}
	if f.regular || f.pseudo&bit != 0 {
		return streamFault(h3MessageError, "pseudo-header field twice, or after a regular one")
	}
	f.pseudo |= bit
	*into = value
	return nil
}

func (f *h3fields) field(name, value string) error {
	f.regular = true
	if err := checkFieldName(name, value); err != nil {
		return err
	}
	key := textproto.CanonicalMIMEHeaderKey(name)
	if key == "Cookie" && len(f.header[key]) > 0 { // RFC 9114 section 4.2.1
		f.header[key][0] += "; " + value
		return nil
	}
	f.header[key] = append(f.header[key], value)
	return nil
}

func checkFieldName(name, value string) error {
	if !isToken7230([]byte(name)) || strings.ToLower(name) != name {
		return streamFault(h3MessageError, "malformed header field name")
	}
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return streamFault(h3MessageError, "connection-specific field on HTTP/3")
	case "te":
		if value != "trailers" {
			return streamFault(h3MessageError, "connection-specific field on HTTP/3")
		}
	}
	return nil
}

// request makes what policy and the handler work on. Faults that are the same
// on HTTP/2 are found there, and answered (faults).
func (f *h3fields) request() (*http.Request, error) {
	connect := f.method == http.MethodConnect
	switch {
	case f.method == "":
		return nil, streamFault(h3MessageError, "no :method")
	case connect && f.protocol == "":
		if f.pseudo != 1|4 {
			return nil, streamFault(h3MessageError, "CONNECT with more than :authority")
		}
		f.path = f.authority
	case f.protocol != "" && !connect:
		return nil, streamFault(h3MessageError, ":protocol without CONNECT")
	case f.scheme != "https" && f.scheme != "http":
		return nil, streamFault(h3MessageError, "no :scheme, or one that is not served")
	case f.path == "":
		return nil, streamFault(h3MessageError, "no :path")
	}
	u := &url.URL{Host: f.authority}
	if !connect || f.protocol != "" {
		var err error
		if u, err = url.ParseRequestURI(f.path); err != nil {
			return nil, streamFault(h3MessageError, "malformed :path")
		}
	}
	host := f.authority
	if hosts := f.header["Host"]; f.pseudo&4 == 0 && len(hosts) == 1 {
		host = hosts[0]
	}
	r := &http.Request{
		Method: f.method, URL: u, RequestURI: f.path, Host: host, Header: f.header,
		Proto: "HTTP/3.0", ProtoMajor: 3, Body: http.NoBody,
	}
	if f.protocol != "" {
		r.Header[":protocol"] = []string{f.protocol}
	}
	if lines := f.header["Trailer"]; len(lines) > 0 {
		r.Trailer = http.Header{}
		for _, line := range lines {
			for name := range strings.SplitSeq(line, ",") {
				r.Trailer[textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))] = nil
			}
		}
		delete(f.header, "Trailer")
	}
	return r, nil
}
