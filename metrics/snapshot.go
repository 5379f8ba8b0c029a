package metrics

import (
	"sort"

	"github.com/prometheus/client_golang/prometheus"

	"edge"
)

// snapshot collects what is looked up at a scrape. Series of certificates and
// upstreams that are gone are gone with the next scrape.
type snapshot struct{ o Options }

var (
	perName      = []string{"name", "issuer", "source"}
	descNotAfter = desc("edge_certificate_not_after_timestamp_seconds", "When the certificate ends.", perName...)
	descNotBef   = desc("edge_certificate_not_before_timestamp_seconds", "When the certificate begins.", perName...)
	descRenew    = desc("edge_certificate_renew_after_timestamp_seconds", "When the certificate is due for renewal.", "name")
	descInfo     = desc("edge_certificate_info", "Always 1; the labels describe the certificate.", "name", "key_type", "issuer", "serial")
	descFailures = desc("edge_certificate_renewal_failures", "Failed attempts in a row to obtain or renew the certificate.", "name")
	descNext     = desc("edge_certificate_next_attempt_timestamp_seconds", "When the next attempt is made after a failed one.", "name")
	descStates   = desc("edge_certificates", "Certificates by state and source.", "state", "source")
	descEarliest = desc("edge_certificates_earliest_not_after_timestamp_seconds", "The soonest end of any certificate that is served.")
	descBackoff  = desc("edge_acme_backoff_until_timestamp_seconds", "The latest time until which an attempt with the CA waits after failures.", "ca")
	descPending  = desc("edge_ondemand_pending", "Names that handshakes wait for a certificate of.")
	descHealthy  = desc("edge_upstream_healthy", "Whether the last connection to the upstream succeeded.", "upstream")
	descInUse    = desc("edge_upstream_connections", "Connections to the upstream by state.", "upstream", "state")
	descInFlight = desc("edge_http_requests_in_flight", "Requests in progress, upgraded connections included, by configured site (_other: none).", "site")
	descPanics   = desc("edge_http_panics_total", "Requests that ended in a panic of edge; the log has its stack.")
	descEjected  = desc("edge_upstream_ejections_total", "Times that the server was taken out of its pool after failures of requests.", "upstream")
	descRetries  = desc("edge_upstream_retries_total", "Requests that came to the server after another one had failed.", "upstream")
	descQueue    = desc("edge_upstream_queue", "Requests that wait for a server with room, by pool.", "pool")
	descFailed   = desc("edge_upstream_failures_total", "Requests that the upstream did not answer.", "upstream")
)

// snapshotDescs lists them for Describe and for the documentation.
var snapshotDescs = []*prometheus.Desc{descNotAfter, descNotBef, descRenew, descInfo, descFailures, descNext, descStates, descEarliest, descBackoff, descPending, descHealthy, descInUse, descFailed, descEjected, descRetries, descQueue, descInFlight, descPanics}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (s *snapshot) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range snapshotDescs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *snapshot) Collect(ch chan<- prometheus.Metric) {
	if s.o.Certificates != nil {
		s.certificates(ch, s.o.Certificates())
	}
	if s.o.Upstreams != nil {
		upstreams(ch, s.o.Upstreams())
	}
	if s.o.OnDemandPending != nil {
		gauge(ch, descPending, float64(s.o.OnDemandPending()))
	}
	if s.o.InFlight != nil {
		for site, n := range s.o.InFlight() {
			gauge(ch, descInFlight, float64(n), site)
		}
	}
	if s.o.Panics != nil {
		ch <- prometheus.MustNewConstMetric(descPanics, prometheus.CounterValue, float64(s.o.Panics()))
	}
}

func (s *snapshot) certificates(ch chan<- prometheus.Metric, all []edge.CertificateStatus) {
	// What ends soonest comes first and is cut off last; configured names without
	// any certificate come before all others. Names that clients asked for in vain
	// come last: there can be many, and they must not hide what is about to expire.
	sort.SliceStable(all, func(i, j int) bool {
		if a, b := inVain(&all[i]), inVain(&all[j]); a != b {
			return b
		}
		return all[i].NotAfter.Before(all[j].NotAfter)
	})
	type stateKey struct {
		state  edge.CertificateState
		source edge.CertificateSource
	}
	states := map[stateKey]int{}
	backoff := map[string]float64{}
	earliest := 0.0
	seen := map[string]bool{}
	for _, c := range all {
		states[stateKey{c.State, c.Source}]++
		if c.CA != "" && !c.NextAttempt.IsZero() {
			backoff[host(c.CA)] = max(backoff[host(c.CA)], unix(c.NextAttempt.UnixMilli()))
		}
		if !c.NotAfter.IsZero() && earliest == 0 {
			earliest = unix(c.NotAfter.UnixMilli())
		}
		if len(seen) < s.o.MaxCertificates && !seen[c.Name] {
			seen[c.Name] = true
			one(ch, &c)
		}
	}
	for k, n := range states {
		gauge(ch, descStates, float64(n), string(k.state), string(k.source))
	}
	for ca, t := range backoff {
		gauge(ch, descBackoff, t, ca)
	}
	if earliest > 0 { // without any certificate there is no such time
		gauge(ch, descEarliest, earliest)
	}
}

func inVain(c *edge.CertificateStatus) bool {
	return c.Source == edge.SourceOnDemand && c.NotAfter.IsZero()
}

func one(ch chan<- prometheus.Metric, c *edge.CertificateStatus) {
	if !c.NotAfter.IsZero() {
		gauge(ch, descNotAfter, unix(c.NotAfter.UnixMilli()), c.Name, c.Issuer, string(c.Source))
		gauge(ch, descNotBef, unix(c.NotBefore.UnixMilli()), c.Name, c.Issuer, string(c.Source))
		gauge(ch, descInfo, 1, c.Name, c.KeyType, c.Issuer, c.Serial)
	}
	if !c.RenewAfter.IsZero() {
		gauge(ch, descRenew, unix(c.RenewAfter.UnixMilli()), c.Name)
	}
	gauge(ch, descFailures, float64(c.Failures), c.Name)
	if !c.NextAttempt.IsZero() {
		gauge(ch, descNext, unix(c.NextAttempt.UnixMilli()), c.Name)
	}
}

// upstreams has one set of series for each address. Sites may share a pool, or
// have pools of their own to one address: the address is as healthy as the worst
// of them, and as busy as the busiest.
func upstreams(ch chan<- prometheus.Metric, all []edge.UpstreamStatus) {
	byAddress := map[string]edge.UpstreamStatus{}
	queues := map[string]int{}
	for _, u := range all {
		if u.Pool != "" {
			queues[u.Pool] = max(queues[u.Pool], u.Queued)
		}
		if v, ok := byAddress[u.Address]; ok {
			u.Healthy = u.Healthy && v.Healthy
			u.InUse, u.Idle, u.Failures = max(u.InUse, v.InUse), max(u.Idle, v.Idle), max(u.Failures, v.Failures)
			u.Ejections, u.Retries = max(u.Ejections, v.Ejections), max(u.Retries, v.Retries)
		}
		byAddress[u.Address] = u
	}
	for address, u := range byAddress {
		healthy := 0.0
		if u.Healthy {
			healthy = 1
		}
		gauge(ch, descHealthy, healthy, address)
		gauge(ch, descInUse, float64(u.InUse), address, "in_use")
		gauge(ch, descInUse, float64(u.Idle), address, "idle")
		ch <- prometheus.MustNewConstMetric(descFailed, prometheus.CounterValue, float64(u.Failures), address)
		ch <- prometheus.MustNewConstMetric(descEjected, prometheus.CounterValue, float64(u.Ejections), address)
		ch <- prometheus.MustNewConstMetric(descRetries, prometheus.CounterValue, float64(u.Retries), address)
	}
	for pool, n := range queues {
		gauge(ch, descQueue, float64(n), pool)
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func unix(ms int64) float64 { return float64(ms) / 1000 }

// host is the host of a directory URL, the form in which orders are labelled.
func host(directory string) string {
	s := directory
	for i := 0; i+2 < len(s); i++ {
		if s[i:i+3] == "://" {
			s = s[i+3:]
			break
		}
	}
	for i := range len(s) {
		if s[i] == '/' {
			return s[:i]
		}
	}
	return s
}
