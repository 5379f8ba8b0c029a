package admin

import (
	"context"
	"errors"
	"time"

	"edge"
)

// Status is what GET /v1/status answers. Fields are only ever added.
type Status struct {
	Version      string                   `json:"version"`
	PID          int                      `json:"pid"`
	Started      time.Time                `json:"started"`
	Loaded       time.Time                `json:"configuration_loaded"`
	Files        []string                 `json:"configuration_files,omitempty"`
	LastReload   *ReloadResult            `json:"last_reload,omitempty"`
	Listeners    []Listener               `json:"listeners"`
	Sites        []Site                   `json:"sites"`
	Certificates []edge.CertificateStatus `json:"certificates"`
	OnDemand     OnDemand                 `json:"on_demand"`
	Upstreams    []edge.UpstreamStatus    `json:"upstreams"`
}

// ReloadResult is how the last reload went.
type ReloadResult struct {
	Time  time.Time `json:"time"`
	Error string    `json:"error,omitempty"`
}

// Listener is a bound address.
type Listener struct {
	Name    string `json:"name"` // "http" or "https"
	Address string `json:"address"`
}

// Site is one configured site.
type Site struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts"`
	TLS   string   `json:"tls"` // "managed", "on_demand", "static" or "off"
	Proxy string   `json:"proxy"`
}

// OnDemand counts decisions on names since the start, by kind.
type OnDemand struct {
	Decisions map[string]uint64 `json:"decisions"`
	Pending   int               `json:"pending"`
}

// Challenge is an answer to be given, or not any more.
type Challenge struct {
	Type       edge.ChallengeType `json:"type"`
	Identifier string             `json:"identifier"`
	Token      string             `json:"token"`
	KeyAuth    string             `json:"key_authorization"`
}

// Certificate is a site's chain and key.
type Certificate struct {
	Chain string `json:"chain"` // PEM, leaf first
	Key   string `json:"key"`   // PEM; secret
}

// ErrNotFound is returned by a Backend for what it does not have.
var ErrNotFound = errors.New("not found")

// Backend is what the socket controls. Safe for concurrent use.
type Backend interface {
	Status() Status
	// Reload returns once the new configuration is in force, or why it is not.
	Reload(ctx context.Context) error
	PutChallenge(edge.Answer) error
	RemoveChallenge(edge.Answer)
	// Certificate returns the certificate for a name, or ErrNotFound.
	Certificate(name string) (edge.Bundle, error)
}
