// Package upstream talks to the servers behind edge. A Pool owns the
// connections to one upstream; it knows nothing of listeners or sites.
package upstream
