// Package policy decides what happens to a request. It is pure: plain structs
// in, plain structs out; no sockets, no clocks, no net/http. Engines parse
// strictly, ask a Table once a request, and carry out the Decision.
package policy
