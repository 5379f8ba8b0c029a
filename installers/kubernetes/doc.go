// Package kubernetes keeps a certificate in a secret of type kubernetes.io/tls, from which
// an ingress or gateway controller takes it.
//
//	Put   GET -> ours to change? -> PUT with its resourceVersion, or POST -> conflict: again
//	Undo  GET -> still what was put? -> PUT with what was there, or DELETE
//
// All of the secret but tls.crt and tls.key stays as it is. It is plain REST with the
// token of a service account: no kubeconfig, no client library. The API server looks at
// no certificate, so that is done here, and whether the controller shows it is for the
// handshakes of delivery.
package kubernetes
