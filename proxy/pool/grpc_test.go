package pool

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"edge/proxy/upstream"
)

// healthServer answers checks as fn says, with h2c or, where secure, HTTP/2 over TLS.
func healthServer(t *testing.T, secure bool, fn http.HandlerFunc) *upstream.Server {
	s := httptest.NewUnstartedServer(fn)
	o := upstream.Options{Scheme: "h2c"}
	if secure {
		s.EnableHTTP2 = true
		s.StartTLS()
		o.Scheme, o.ServerName = "https", "example.com"
		o.Roots = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	} else {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	}
	t.Cleanup(s.Close)
	o.Address = s.Listener.Addr().String()
	u := upstream.New(o)
	t.Cleanup(u.Close)
	return u
}

func sayHealth(message, status, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", text)
		b, _ := hex.DecodeString(message)
		w.Write(b)
	}
}

func TestGRPCHealth(t *testing.T) {
	for class, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string // "": well
	}{
		"serving":             {sayHealth("00000000020801", "0", ""), ""},
		"with unknown fields": {sayHealth("000000000e"+"1001"+"1a026162"+"0801"+"25"+"01020304"+"", "0", ""), "no HealthCheckResponse"},
		"with fields skipped": {sayHealth("000000000d"+"1001"+"1a026162"+"0801"+"25"+"01020304", "0", ""), ""},
		"not serving":         {sayHealth("00000000020802", "0", ""), "NOT_SERVING"},
		"unknown":             {sayHealth("0000000000", "0", ""), "UNKNOWN"},
		"service unknown":     {sayHealth("00000000020803", "0", ""), "SERVICE_UNKNOWN"},
		"a state of tomorrow": {sayHealth("00000000020809", "0", ""), "state 9"},
		"not found":           {sayHealth("", "5", "no such"), "NOT_FOUND"},
		"unimplemented":       {sayHealth("", "12", ""), "UNIMPLEMENTED"},
		"a failure":           {sayHealth("", "14", "try%20later"), `grpc-status "14": "try later"`},
		"no status":           {sayHealth("00000000020801", "", ""), "no grpc-status"},
		"compressed":          {sayHealth("01000000020801", "0", ""), "no HealthCheckResponse"},
		"two messages":        {sayHealth("0000000002080100000000020801", "0", ""), "no HealthCheckResponse"},
		"cut short":           {sayHealth("000000000208", "0", ""), "no HealthCheckResponse"},
		"too long":            {sayHealth(strings.Repeat("00", 2000), "0", ""), "more than 1024 bytes"},
		"another protocol":    {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }, "not gRPC"},
		"a status of HTTP":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "status 503"},
		"no message, trailers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Grpc-Status"] = []string{"12"}
			w.Header().Set("Content-Type", "application/grpc")
		}, "UNIMPLEMENTED"},
	} {
		t.Run(class, func(t *testing.T) {
			err := checkGRPC(t.Context(), healthServer(t, false, tc.answer), "x", "")
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// What is asked, over both kinds of HTTP/2.
func TestGRPCHealthRequest(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var got string
		s := healthServer(t, secure, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got = r.Method + " " + r.URL.Path + " " + r.Host + " " + r.Header.Get("Content-Type") + " " + r.Header.Get("Te") + " " + hex.EncodeToString(b)
			sayHealth("00000000020801", "0", "")(w, r)
		})
		if err := checkGRPC(t.Context(), s, "shop.internal", "shop.Cart"); err != nil {
			t.Error(err)
		}
		if want := "POST /grpc.health.v1.Health/Check shop.internal application/grpc trailers 000000000b0a09" + hex.EncodeToString([]byte("shop.Cart")); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A server of a pool goes and comes as its service does.
func TestGRPCCheckOfPool(t *testing.T) {
	message := make(chan string, 100)
	message <- "00000000020801"
	last := ""
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/grpc.health.v1.Health/Check" {
			return
		}
		select {
		case last = <-message:
		default:
		}
		sayHealth(last, "0", "")(w, r)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(h))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	p, err := New(Options{Name: "x", Servers: []Server{{Options: upstream.Options{Scheme: "h2c", Address: s.Listener.Addr().String()}}},
		Health: &Health{Type: "grpc", Interval: 5 * time.Millisecond, Rise: 1, Fall: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	eventually(t, "it is asked", func() bool { return p.Status()[0].Requests > 1 && p.Status()[0].State == "up" })
	message <- "00000000020802"
	eventually(t, "it is down", func() bool { return p.Status()[0].State == "down" })
	message <- "00000000020801"
	eventually(t, "it is up", func() bool { return p.Status()[0].State == "up" })
}

func FuzzHealthStatus(f *testing.F) {
	for _, s := range []string{"00000000020801", "0000000000", "000000000d10011a02616208012501020304", "01000000020801"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if status, err := healthStatus(b); err != nil && status != 0 {
			t.Errorf("%d with %v", status, err)
		}
	})
}
