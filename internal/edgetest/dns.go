package edgetest

import (
	"net"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// DNS is a name server for which every name lives at 127.0.0.1.
type DNS struct {
	udp, tcp *dns.Server
	addr     string
	mu       sync.Mutex
	txt      map[string][]string
}

// NewDNS starts a name server on a loopback port, UDP and TCP.
func NewDNS() (*DNS, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		l.Close()
		return nil, err
	}
	d := &DNS{addr: l.Addr().String(), txt: map[string][]string{}}
	d.tcp = &dns.Server{Listener: l, Handler: dns.HandlerFunc(d.serve)}
	d.udp = &dns.Server{PacketConn: p, Handler: dns.HandlerFunc(d.serve)}
	var started sync.WaitGroup
	for _, s := range []*dns.Server{d.tcp, d.udp} {
		started.Add(1)
		s.NotifyStartedFunc = started.Done
		go s.ActivateAndServe()
	}
	started.Wait()
	return d, nil
}

// Addr is "127.0.0.1:port".
func (d *DNS) Addr() string { return d.addr }

// SetTXT replaces the TXT records of a name.
func (d *DNS) SetTXT(name string, values ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.txt[dns.Fqdn(strings.ToLower(name))] = values
}

// Close ends the server.
func (d *DNS) Close() {
	d.tcp.Shutdown()
	d.udp.Shutdown()
}

func (d *DNS) serve(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	for _, question := range q.Question {
		head := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: 1}
		switch question.Qtype {
		case dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
		case dns.TypeTXT:
			d.mu.Lock()
			for _, v := range d.txt[strings.ToLower(question.Name)] {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: []string{v}})
			}
			d.mu.Unlock()
		}
	}
	_ = w.WriteMsg(m)
}
