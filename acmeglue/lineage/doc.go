// Package lineage keeps certbot's tree of certificates, /etc/letsencrypt: archive,
// live and renewal. certbot 2.1 can go on with what it writes at any time, and it
// with what certbot wrote.
//
//	renewal/NAME.conf          what the lineage is and how it is renewed
//	live/NAME/KIND.pem      -> ../../archive/NAME/KINDn.pem
//	archive/NAME/KINDn.pem     version n; KIND is cert, privkey, chain or fullchain
//	archive/.NAME.job          a change that has begun (edge's own)
//
// Four links and two folders cannot change at once. So each change of more than one
// file is first written down as a job, with all that it needs, in one atomic step:
// before it nothing has happened, after it the change will be finished, by this
// process or by Repair in the next.
//
//	Create, Renew, Delete -> job (durable) -> apply -> job removed
//	Repair                -> job found     -> apply -> job removed
//
// Reading (Load, List) never writes. Whoever writes holds certbot's locks and has
// called Repair; nothing in here takes locks or asks the network. What is read from
// the tree is not trusted: sizes are bounded, and nothing is removed that is not a
// lineage's own.
package lineage
