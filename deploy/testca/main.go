// Testca runs the CA of the tests (Pebble, in this process) until it is
// interrupted, for trying edge or another ACME client by hand:
//
//	go run ./deploy/testca -http 5002 -dir /tmp/ca
//
// Every name resolves to 127.0.0.1. The folder gets the files url, server.pem
// (verifies the CA's own HTTPS) and issued.pem (verifies what it issues).
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"edge/internal/edgetest"
)

func main() {
	httpPort := flag.Int("http", 5002, "port where HTTP-01 answers are looked for")
	tlsPort := flag.Int("tls", 5001, "port where TLS-ALPN-01 answers are looked for")
	dir := flag.String("dir", ".", "folder for url, server.pem and issued.pem")
	flag.Parse()
	if err := run(*httpPort, *tlsPort, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "testca:", err)
		os.Exit(1)
	}
}

func run(httpPort, tlsPort int, dir string) error {
	ca, err := edgetest.NewCA(edgetest.CAOptions{HTTPPort: httpPort, TLSPort: tlsPort, AlternateRoots: 1, Log: os.Stderr})
	if err != nil {
		return err
	}
	defer ca.Close()
	for name, content := range map[string][]byte{
		"server.pem": ca.ServerRoots(), "issued.pem": ca.IssuedRoots(), "url": []byte(ca.URL() + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	fmt.Println(ca.URL())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	<-stop
	return nil
}
