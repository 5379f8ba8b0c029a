package edgetest

import (
	"net"
	"slices"
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
	zones    map[string]bool
	hosts    map[string][]net.IP
	srv      map[string][]SRV
	rcode    map[string]int
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
	d := &DNS{addr: l.Addr().String(), txt: map[string][]string{}, zones: map[string]bool{},
		hosts: map[string][]net.IP{}, srv: map[string][]SRV{}, rcode: map[string]int{}}
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

// AddTXT adds one TXT record, RemoveTXT takes it away, TXT lists them.
func (d *DNS) AddTXT(name, value string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := dns.Fqdn(strings.ToLower(name))
	d.txt[key] = append(d.txt[key], value)
}

// RemoveTXT takes one TXT record away.
func (d *DNS) RemoveTXT(name, value string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := dns.Fqdn(strings.ToLower(name))
	d.txt[key] = slices.DeleteFunc(slices.Clone(d.txt[key]), func(v string) bool { return v == value })
}

// TXT lists the TXT records of a name.
func (d *DNS) TXT(name string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.txt[dns.Fqdn(strings.ToLower(name))])
}

// AddZone makes the server name a start of authority.
func (d *DNS) AddZone(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zones[dns.Fqdn(strings.ToLower(name))] = true
}

// SRV is a service of a name.
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string
}

// SetHosts replaces the addresses of a name, SetSRV its services, Fail its answer by
// a code; 0 ends that.
func (d *DNS) SetHosts(name string, ips ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []net.IP{}
	for _, ip := range ips {
		list = append(list, net.ParseIP(ip))
	}
	d.hosts[dns.Fqdn(strings.ToLower(name))] = list
}

// SetSRV is described at SetHosts.
func (d *DNS) SetSRV(name string, records ...SRV) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.srv[dns.Fqdn(strings.ToLower(name))] = records
}

// Fail is described at SetHosts.
func (d *DNS) Fail(name string, rcode int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rcode[dns.Fqdn(strings.ToLower(name))] = rcode
}

// addresses answers for a name whose addresses were set.
func (d *DNS) addresses(head dns.RR_Header) (out []dns.RR, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ips, known := d.hosts[strings.ToLower(head.Name)]
	for _, ip := range ips {
		switch v4 := ip.To4(); {
		case v4 != nil && head.Rrtype == dns.TypeA:
			out = append(out, &dns.A{Hdr: head, A: v4})
		case v4 == nil && head.Rrtype == dns.TypeAAAA:
			out = append(out, &dns.AAAA{Hdr: head, AAAA: ip})
		}
	}
	return out, known
}

// LookupTXT asks a name server for TXT records.
func LookupTXT(server, name string) ([]string, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	r, err := dns.Exchange(q, server)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, rr := range r.Answer {
		if t, ok := rr.(*dns.TXT); ok {
			out = append(out, strings.Join(t.Txt, ""))
		}
	}
	return out, nil
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
		d.mu.Lock()
		m.Rcode = max(m.Rcode, d.rcode[strings.ToLower(question.Name)])
		d.mu.Unlock()
		if answers, known := d.addresses(head); known || m.Rcode != 0 {
			if m.Rcode == 0 {
				m.Answer = append(m.Answer, answers...)
			}
			continue
		}
		switch question.Qtype {
		case dns.TypeSRV:
			d.mu.Lock()
			for _, s := range d.srv[strings.ToLower(question.Name)] {
				m.Answer = append(m.Answer, &dns.SRV{Hdr: head, Priority: s.Priority, Weight: s.Weight, Port: s.Port, Target: dns.Fqdn(s.Target)})
			}
			d.mu.Unlock()
		case dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
		case dns.TypeSOA:
			d.mu.Lock()
			if d.zones[strings.ToLower(question.Name)] {
				m.Answer = append(m.Answer, &dns.SOA{Hdr: head, Ns: "ns." + question.Name, Mbox: "ops." + question.Name, Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 1})
			}
			d.mu.Unlock()
		case dns.TypeTXT:
			d.mu.Lock()
			for _, v := range d.txt[strings.ToLower(question.Name)] {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: []string{v}})
			}
			d.mu.Unlock()
		}
	}
	if _, udp := w.LocalAddr().(*net.UDPAddr); udp && m.Len() > 1200 {
		m.Truncated, m.Answer = true, nil // ask again by TCP
	}
	_ = w.WriteMsg(m)
}
