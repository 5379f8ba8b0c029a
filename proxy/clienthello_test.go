package proxy

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"edge"
)

// inRecords cuts a message into records of n bytes.
func inRecords(msg []byte, n int) []byte {
	var b []byte
	for len(msg) > 0 {
		part := msg[:min(n, len(msg))]
		b = append(b, typeHandshake, 3, 1)
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b, msg = append(b, part...), msg[len(part):]
	}
	return b
}

// withExtension adds an extension to a hello that is one record.
func withExtension(record []byte, kind uint16, body []byte) []byte {
	msg := bytes.Clone(record[recordHeader:])
	r := tlsReader{b: msg[messageHeader:]}
	r.skip(34)
	r.vector8()
	r.vector16()
	r.vector8()
	at := len(msg) - len(r.b) // of the length of all extensions
	msg = binary.BigEndian.AppendUint16(msg, kind)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(body)))
	msg = append(msg, body...)
	binary.BigEndian.PutUint16(msg[at:], uint16(len(msg)-at-2))
	size := len(msg) - messageHeader
	msg[1], msg[2], msg[3] = byte(size>>16), byte(size>>8), byte(size)
	return inRecords(msg, 16<<10)
}

// serverNames is the body of a server_name extension.
func serverNames(names ...string) []byte {
	var list []byte
	for _, n := range names {
		list = append(list, serverHost)
		list = binary.BigEndian.AppendUint16(list, uint16(len(n)))
		list = append(list, n...)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
}

// echConfigs is a list of one key for encrypted ClientHello, of the public name given.
func echConfigs(t testing.TB, public string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{7, 0, 0x20, 0, 32}
	b = append(b, key.PublicKey().Bytes()...)
	b = append(b, 0, 4, 0, 1, 0, 1, 0, byte(len(public)))
	b = append(append(b, public...), 0, 0)
	config := append(binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(b))), b...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
}

func TestParseClientHello(t *testing.T) {
	plain := clientHello(&tls.Config{ServerName: "www.Example.org", NextProtos: []string{"h2", "http/1.1"}})
	for name, tc := range map[string]struct {
		in   []byte
		want helloInfo
		err  error
	}{
		"plain":              {in: plain, want: helloInfo{name: "www.Example.org"}},
		"no name":            {in: clientHello(&tls.Config{InsecureSkipVerify: true})},
		"address":            {in: clientHello(&tls.Config{ServerName: "192.0.2.1"})},
		"TLS 1.2":            {in: clientHello(&tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12}), want: helloInfo{name: "a.test"}},
		"validation":         {in: clientHello(&tls.Config{ServerName: "a.test", NextProtos: []string{edge.ALPNProto}}), want: helloInfo{"a.test", true}},
		"two protocols":      {in: clientHello(&tls.Config{ServerName: "a.test", NextProtos: []string{edge.ALPNProto, "h2"}}), want: helloInfo{name: "a.test"}},
		"two, the other way": {in: clientHello(&tls.Config{ServerName: "a.test", NextProtos: []string{"h2", edge.ALPNProto}}), want: helloInfo{name: "a.test"}},
		"encrypted": {in: clientHello(&tls.Config{ServerName: "secret.test", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfigs(t, "public.test")}),
			want: helloInfo{name: "public.test"}},
		"GREASE":            {in: withExtension(withExtension(plain, 0x0a0a, nil), 0xfafa, []byte{0}), want: helloInfo{name: "www.Example.org"}},
		"records of a byte": {in: inRecords(plain[recordHeader:], 1), want: helloInfo{name: "www.Example.org"}},
		"records of 100":    {in: inRecords(plain[recordHeader:], 100), want: helloInfo{name: "www.Example.org"}},
		"large, within":     {in: withExtension(plain, 21, make([]byte, 14<<10)), want: helloInfo{name: "www.Example.org"}},
		"too large":         {in: inRecords(withExtension(plain, 21, make([]byte, 16<<10))[recordHeader:], 8<<10), err: errLongHello},
		"names twice":       {in: withExtension(plain, extensionServerName, serverNames("other.test")), err: errNoHello},
		"two names":         {in: withExtension(clientHello(&tls.Config{InsecureSkipVerify: true}), extensionServerName, serverNames("a.test", "b.test")), err: errNoHello},
		"no name in list":   {in: withExtension(clientHello(&tls.Config{InsecureSkipVerify: true}), extensionServerName, serverNames()), err: errNoHello},
		"empty name":        {in: withExtension(clientHello(&tls.Config{InsecureSkipVerify: true}), extensionServerName, serverNames("")), err: errNoHello},
		"protocols twice":   {in: withExtension(plain, extensionALPN, []byte{0, 3, 2, 'h', '2'}), err: errNoHello},
		"more behind":       {in: append(bytes.Clone(plain), plain...)[:len(plain)+10], want: helloInfo{name: "www.Example.org"}},
		"a request":         {in: []byte(get), err: errNoHello},
		"an alert":          {in: []byte{21, 3, 3, 0, 2, 2, 40}, err: errNoHello},
		"another message":   {in: []byte{22, 3, 3, 0, 4, 2, 0, 0, 0}, err: errNoHello},
		"an empty record":   {in: []byte{22, 3, 3, 0, 0}, err: errNoHello},
		"SSL 2":             {in: []byte{0x80, 0x2e, 1, 0, 2}, err: errNoHello},
	} {
		got, more, err := parseClientHello(tc.in)
		if got != tc.want || more || !errors.Is(err, tc.err) {
			t.Errorf("%s: %+v, more %v, %v; want %+v, %v", name, got, more, err, tc.want, tc.err)
		}
		if tc.err == nil && name != "more behind" {
			for i := range tc.in {
				if _, more, err := parseClientHello(tc.in[:i]); !more || err != nil {
					t.Errorf("%s, %d bytes of it: more %v, %v", name, i, more, err)
					break
				}
			}
		}
	}
}

// Nothing panics, and what is found is what crypto/tls finds.
func FuzzParseClientHello(f *testing.F) {
	f.Add(clientHello(&tls.Config{ServerName: "a.test", NextProtos: []string{"h2"}}))
	f.Add(clientHello(&tls.Config{ServerName: "a.test", NextProtos: []string{edge.ALPNProto}}))
	f.Add(clientHello(&tls.Config{InsecureSkipVerify: true}))
	f.Add(inRecords(clientHello(&tls.Config{ServerName: "a.test"})[recordHeader:], 50))
	f.Add(clientHello(&tls.Config{ServerName: "x.test", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfigs(f, "public.test")}))
	f.Add([]byte(get))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, more, err := parseClientHello(b)
		if more && len(b) >= maxRecords || len(h.name) > maxHello || err != nil && (more || h != helloInfo{}) {
			t.Fatalf("%+v %v %v of %d bytes", h, more, err, len(b))
		}
		if more || err != nil {
			return
		}
		var seen *tls.ClientHelloInfo
		c := &heard{in: bytes.NewReader(b)}
		tls.Server(c, &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
			seen = i
			return nil, errNoHello
		}}).Handshake()
		if seen == nil {
			return // it refuses more than what is read here
		}
		if seen.ServerName != strings.TrimSuffix(h.name, ".") && seen.ServerName != h.name || onlyALPN(seen, edge.ALPNProto) != h.acme {
			t.Fatalf("%+v, and crypto/tls finds %q %q", h, seen.ServerName, seen.SupportedProtos)
		}
	})
}
