// Package redis gives Redis, and Valkey, their certificate while they run.
//
//	one PEM file (key, leaf, chain), named by both tls-cert-file and tls-key-file in redis.conf
//	  -> CONFIG SET tls-cert-file F tls-key-file F, in one command
//	  -> a handshake at tls-port
//
// One file for both changes in one step. CONFIG SET reads it at once, and keeps the old pair
// where it is bad; what redis.conf says counts at the next start, so that both are changed.
package redis
