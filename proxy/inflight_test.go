package proxy

import (
	"io"
	"maps"
	"net/http"
	"testing"

	"edge"
	"edge/proxy/policy"
)

// A request counts from when its site is known to its last byte, also when a
// reload takes the site away meanwhile.
func TestRequestsInFlight(t *testing.T) {
	var address string
	begun, goOn := make(chan bool, 8), make(chan bool)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- true
		<-goOn
	}), func(_ *Options, s *Settings) {
		s.Table = tableOf(t, policy.Site{Name: "one", Hosts: []string{"example.org"}, TLS: true, Pool: "a"},
			policy.Site{Name: "two", Hosts: []string{"www.example.org"}, TLS: true, Pool: "a"})
		address = s.Pools["a"].Status()[0].Address
	})
	expect := func(what string, want map[string]int64) {
		t.Helper()
		eventually(t, what, func() bool { return maps.Equal(r.InFlight(), want) })
	}
	expect("nothing is in progress", map[string]int64{"one": 0, "two": 0, edge.OtherSite: 0})
	for _, h2 := range []bool{false, true} {
		go r.client(h2).Get("https://example.org/")
		<-begun
	}
	c := r.dial()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
	<-begun
	expect("three are in progress", map[string]int64{"one": 2, "two": 1, edge.OtherSite: 0})

	set := r.set
	set.Table, set.Pools = everythingTo(t, address)
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	expect("a site that is gone has what it had", map[string]int64{"any": 0, "one": 2, "two": 1, edge.OtherSite: 0})
	close(goOn)
	expect("they have ended", map[string]int64{"any": 0, "one": 0, "two": 0, edge.OtherSite: 0})
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	expect("sites that are gone are forgotten", map[string]int64{"any": 0, edge.OtherSite: 0})
}
