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
	LastUpgrade  *UpgradeResult           `json:"last_upgrade,omitempty"`
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

// UpgradeResult is how the last attempt to start another process in the place of the
// one that runs went.
type UpgradeResult struct {
	Time     time.Time `json:"time"`
	PID      int       `json:"pid,omitempty"`     // of the process that serves now
	Version  string    `json:"version,omitempty"` // that it is of
	Was      int       `json:"was,omitempty"`     // PID of the process that served before
	Draining bool      `json:"draining,omitempty"`
	Error    string    `json:"error,omitempty"`
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
	TLS   string   `json:"tls"` // "managed", "on_demand", "static", "lineage" or "off"
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

// Certificate is a chain and its key: of a site, or of a lineage.
type Certificate struct {
	Chain string `json:"chain"` // PEM, leaf first
	Key   string `json:"key"`   // PEM; secret
}

// Lineages is what GET /v1/lineages answers.
type Lineages struct {
	Lineages []edge.LineageStatus `json:"lineages"`
}

// Errors that callers branch on; the client returns them as well.
var (
	// ErrNotFound is returned by a Backend for what it does not have, or does not use.
	ErrNotFound = errors.New("not found")
	// ErrRefused is returned by a Backend for what it was given and cannot use.
	ErrRefused = errors.New("refused")
)

// Backend is what the socket controls. Safe for concurrent use.
type Backend interface {
	Status() Status
	// Reload returns once the new configuration is in force, or why it is not.
	Reload(ctx context.Context) error
	// Upgrade starts the program anew and returns once the new process serves, or why
	// it does not.
	Upgrade() (UpgradeResult, error)
	PutChallenge(edge.Answer) error
	RemoveChallenge(edge.Answer)
	// Certificate returns the certificate for a name, or ErrNotFound.
	Certificate(name string) (edge.Bundle, error)
	// Lineages lists the lineages that the configuration uses, sorted by name.
	Lineages() []edge.LineageStatus
	// PutLineage stores a chain and key and serves them. It returns ErrNotFound for
	// a lineage that no site uses, ErrRefused for what cannot be served.
	PutLineage(ctx context.Context, name string, b edge.Bundle) (edge.LineageStatus, error)
	// StewardReport takes the report of a run of the steward.
	StewardReport(edge.StewardReport) error
}
