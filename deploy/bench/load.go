package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const host = "bench.test"

// report is what a load generator says at the end.
type report struct{ Done, Failed int }

func (l *load) report() (r report, err error) {
	return r, json.Unmarshal([]byte(strings.TrimPrefix(l.last, "end ")), &r)
}

// child is this program as a backend or a load generator.
func child(args []string) {
	if args[0] == "backend" {
		serveBackend(args[1], args[2])
		return
	}
	kind, addr := args[1], args[2]
	sites, _ := strconv.Atoi(args[3])
	warmup, _ := strconv.ParseFloat(args[4], 64)
	seconds, _ := strconv.ParseFloat(args[5], 64)
	idle, _ := strconv.Atoi(args[6])
	if kind == "idle" {
		holdIdle(addr, idle)
		return
	}
	generate := generators(sites)[kind]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done, failed atomic.Int64
	var wg sync.WaitGroup
	count := func(err error) {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if failed.Add(1) == 1 {
				fmt.Fprintln(os.Stderr, "bench: first failure:", err)
			}
			return
		}
		done.Add(1)
	}
	for range map[string]int{"h1": 16, "sites": 16, "zip": 8, "1m": 4, "h2": 2, "h3": 2, "full": 4, "resumed": 4}[kind] {
		wg.Go(func() { generate(ctx, addr, count) })
	}
	time.Sleep(time.Duration(warmup * float64(time.Second)))
	done.Store(0)
	failed.Store(0)
	fmt.Println("begin")
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	b, _ := json.Marshal(report{int(done.Load()), int(failed.Load())})
	fmt.Printf("end %s\n", b)
	cancel()
	io.Copy(io.Discard, os.Stdin) // until the parent has looked
}

func generators(sites int) map[string]func(ctx context.Context, addr string, count func(error)) {
	return map[string]func(context.Context, string, func(error)){
		"h1":    requests1(head("/1k", host, "")),
		"sites": requests1(spread1(sites)),
		"zip":   requests1(head("/json", host, "Accept-Encoding: gzip\r\n")),
		"1m":    requests1(head("/1m", host, "")),
		"h2": func(ctx context.Context, addr string, count func(error)) {
			t := &http.Transport{TLSClientConfig: clientConfig("h2"), Protocols: new(http.Protocols), DisableCompression: true,
				DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
					return tls.Dial("tcp", addr, clientConfig("h2"))
				}}
			t.Protocols.SetHTTP2(true)
			defer t.CloseIdleConnections()
			streams(ctx, t, 2, count)
		},
		"h3": func(ctx context.Context, addr string, count func(error)) {
			t := &http3.Transport{TLSClientConfig: clientConfig("h3"), DisableCompression: true,
				Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
					return quic.DialAddrEarly(ctx, addr, tc, qc)
				}}
			defer t.Close()
			streams(ctx, t, 3, count)
		},
		"full":    func(ctx context.Context, addr string, count func(error)) { handshakes(ctx, addr, false, count) },
		"resumed": func(ctx context.Context, addr string, count func(error)) { handshakes(ctx, addr, true, count) },
	}
}

// head makes the same request every time.
func head(path, host, fields string) func() []byte {
	b := []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "\r\n")
	return func() []byte { return b }
}

// spread1 makes requests for the hosts of many sites, in an order that no cache likes.
func spread1(sites int) func() []byte {
	all := make([][]byte, sites)
	for i := range all {
		all[i] = head("/1k", siteHost(i), "")()
	}
	return func() []byte { return all[rand.IntN(sites)] }
}

func clientConfig(protos ...string) *tls.Config {
	return &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: protos, MinVersion: tls.VersionTLS13}
}

// requests1 sends requests on one connection, one after the other, with as
// little work for the client as can be.
func requests1(next func() []byte) func(ctx context.Context, addr string, count func(error)) {
	return func(ctx context.Context, addr string, count func(error)) { sequence(ctx, addr, next, count) }
}

func sequence(ctx context.Context, addr string, next func() []byte, count func(error)) {
	for ctx.Err() == nil {
		conn, err := tls.Dial("tcp", addr, clientConfig("http/1.1"))
		if err != nil {
			count(err)
			continue
		}
		br := bufio.NewReaderSize(conn, 64<<10)
		for err == nil && ctx.Err() == nil {
			if _, err = conn.Write(next()); err == nil {
				err = readAnswer(br)
			}
			count(err)
		}
		conn.Close()
	}
}

// readAnswer reads a 200 with a Content-Length, or chunked.
func readAnswer(br *bufio.Reader) error {
	length, chunked := -1, false
	for n := 0; ; n++ {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return err
		}
		s := strings.TrimRight(string(line), "\r\n")
		if n == 0 && !strings.HasPrefix(s, "HTTP/1.1 200") {
			return fmt.Errorf("status line %q", s)
		}
		if s == "" {
			break
		}
		name, value, _ := strings.Cut(s, ":")
		switch strings.ToLower(name) {
		case "content-length":
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		case "transfer-encoding":
			chunked = true
		}
	}
	if !chunked {
		if length <= 0 {
			return fmt.Errorf("length %d", length)
		}
		_, err := br.Discard(length)
		return err
	}
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return err
		}
		if _, err := br.Discard(int(n) + 2); err != nil || n == 0 {
			return err
		}
	}
}

// streams keeps 32 streams of one connection busy.
func streams(ctx context.Context, t http.RoundTripper, major int, count func(error)) {
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			buf := make([]byte, 4<<10)
			for ctx.Err() == nil {
				req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+host+"/1k", nil)
				res, err := t.RoundTrip(req)
				if err == nil {
					n := 0
					for err == nil {
						var m int
						m, err = res.Body.Read(buf)
						n += m
					}
					res.Body.Close()
					if err == io.EOF {
						err = nil
					}
					if err == nil && (res.StatusCode != 200 || n != 1024 || res.ProtoMajor != major) {
						err = fmt.Errorf("%s, %d bytes, %s", res.Status, n, res.Proto)
					}
				}
				count(err)
			}
		})
	}
	wg.Wait()
}

// handshakes makes connections that do nothing else.
func handshakes(ctx context.Context, addr string, resume bool, count func(error)) {
	cfg := clientConfig("http/1.1")
	if resume {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		conn, err := tls.Dial("tcp", addr, cfg)
		if err != nil {
			count(err)
			return
		}
		// The ticket comes with the first answer.
		fmt.Fprintf(conn, "GET /1k HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		io.Copy(io.Discard, conn)
		conn.Close()
	}
	for ctx.Err() == nil {
		conn, err := tls.Dial("tcp", addr, cfg)
		if err == nil {
			if got := conn.ConnectionState().DidResume; got != resume {
				err = fmt.Errorf("resumed: %v", got)
			}
			conn.Close()
		}
		count(err)
	}
}

// holdIdle opens connections and holds them until the parent is done.
func holdIdle(addr string, n int) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	conns := make([]*tls.Conn, n)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c, err := tls.Dial("tcp", addr, clientConfig("http/1.1"))
			if err == nil {
				_, err = fmt.Fprintf(c, "GET /1k HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			}
			if err == nil {
				err = readAnswer(bufio.NewReader(c))
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "bench: idle connection:", err)
				os.Exit(1)
			}
			conns[i] = c
		})
	}
	wg.Wait()
	fmt.Println("begin")
	io.Copy(io.Discard, os.Stdin)
}

// serveBackend speaks HTTP/1.1 at one address and HTTP/2 without TLS at the other.
func serveBackend(addr, h2c string) {
	small, large := make([]byte, 1<<10), make([]byte, 1<<20)
	var list strings.Builder
	for i := 0; list.Len() < 64<<10; i++ {
		fmt.Fprintf(&list, `{"id":%d,"name":"customer %d","active":%v,"balance":%d.%02d},`, i, i*7919%9973, i%3 == 0, i*31%1000, i%100)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/1k", func(w http.ResponseWriter, _ *http.Request) { w.Write(small) })
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(list.Len()))
		io.WriteString(w, list.String())
	})
	mux.HandleFunc("/1m", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(large)))
		w.Write(large)
	})
	multi := &http.Server{Addr: h2c, Handler: mux, Protocols: new(http.Protocols)}
	multi.Protocols.SetUnencryptedHTTP2(true)
	go func() { fmt.Fprintln(os.Stderr, multi.ListenAndServe()) }()
	fmt.Fprintln(os.Stderr, http.ListenAndServe(addr, mux))
}
