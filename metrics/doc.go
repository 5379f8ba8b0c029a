// Package metrics turns the events and snapshots of the other packages into
// Prometheus metrics. It is the one home of client_golang. Labels are bounded
// whatever clients send: sites and certificates are labelled by their configured
// or issued name, methods and codes are clamped.
package metrics
