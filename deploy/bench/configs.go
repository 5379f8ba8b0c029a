package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// config is what a server's configuration is made of.
type config struct {
	dir     string // its own, with cert.pem, key.pem and both.pem
	addr    string
	backend string
	edge    string // the binary
	setup   setup
}

// configs write a server's configuration and return its command. All have the
// same certificate, cipher and backend, keep connections on both sides, and log nothing.
var configs = map[string]func(config) ([]string, error){
	"edge":    edgeConfig,
	"nginx":   nginxConfig,
	"haproxy": haproxyConfig,
	"caddy":   caddyConfig,
}

// siteHost is the host of one of many sites.
func siteHost(i int) string { return fmt.Sprintf("n%05d.%s", i, host) }

func edgeConfig(c config) ([]string, error) {
	scheme, zip := "http", ""
	if c.setup.h2up {
		scheme = "h2c"
	}
	if c.setup.zip {
		zip = "    compress: {encodings: [gzip]}\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
listen: {http: ["127.0.0.1:0"], https: ["%s"]}
storage: {dir: %s/edge}
admin: {socket: %s/edge.sock}
log: {level: error}
sites:
`, c.addr, c.dir, c.dir)
	site := func(host string) {
		fmt.Fprintf(&b, "  - hosts: [%s]\n    tls: {cert: cert.pem, key: key.pem}\n    proxy: %s://%s\n%s", host, scheme, c.backend, zip)
	}
	site(host)
	for i := range c.setup.sites {
		site(siteHost(i))
	}
	return []string{c.edge, "serve", "--config", filepath.Join(c.dir, "edge.yaml")}, write(c.dir, "edge.yaml", b.String())
}

func nginxConfig(c config) ([]string, error) {
	zip := ""
	if c.setup.zip {
		zip = "gzip on; gzip_types application/json; gzip_proxied any; gzip_comp_level 5;"
	}
	return []string{"nginx", "-e", "stderr", "-c", filepath.Join(c.dir, "nginx.conf")}, write(c.dir, "nginx.conf", fmt.Sprintf(`daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path %[1]s/n1; proxy_temp_path %[1]s/n2; fastcgi_temp_path %[1]s/n3; uwsgi_temp_path %[1]s/n4; scgi_temp_path %[1]s/n5;
  keepalive_requests 100000000;
  %[5]s
  upstream backend { server %[3]s; keepalive 64; keepalive_requests 100000000; }
  server {
    listen %[2]s ssl http2 backlog=4096;
    server_name %[4]s;
    ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_session_cache shared:SSL:10m; ssl_session_tickets on;
    location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; }
  }
}
`, c.dir, c.addr, c.backend, host, zip))
}

func haproxyConfig(c config) ([]string, error) {
	server, zip := "", ""
	if c.setup.h2up {
		server = "proto h2"
	}
	if c.setup.zip {
		zip = "  compression algo gzip\n  compression type application/json\n"
	}
	return []string{"haproxy", "-db", "-f", filepath.Join(c.dir, "haproxy.cfg")}, write(c.dir, "haproxy.cfg", fmt.Sprintf(`global
  maxconn 8192
  nbthread 2
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 60s
  timeout http-keep-alive 75s
  option forwardfor
  http-reuse always
frontend f
  bind %[2]s ssl crt %[1]s/both.pem alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto https
  default_backend b
backend b
%[5]s  server s %[3]s %[4]s
`, c.dir, c.addr, c.backend, server, zip))
}

func caddyConfig(c config) ([]string, error) {
	_, port, _ := net.SplitHostPort(c.addr)
	scheme, zip := "http", ""
	if c.setup.h2up {
		scheme = "h2c"
	}
	if c.setup.zip {
		zip = "encode gzip"
	}
	return []string{"caddy", "run", "--config", filepath.Join(c.dir, "Caddyfile"), "--adapter", "caddyfile"}, write(c.dir, "Caddyfile", fmt.Sprintf(`{
  admin off
  auto_https off
  log {
    output discard
  }
}
https://%[4]s:%[5]s {
  bind 127.0.0.1
  tls %[1]s/cert.pem %[1]s/key.pem
  %[7]s
  reverse_proxy %[6]s://%[3]s
}
`, c.dir, c.addr, c.backend, host, port, scheme, zip))
}
