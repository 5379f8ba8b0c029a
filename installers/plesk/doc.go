// Package plesk installs certificates for sites of Plesk, and for its panel, and answers
// HTTP-01 and DNS-01 for them.
//
//	Put      site/get -> ours to change? -> keep the new pair -> certificate/install or update
//	         -> site/set certificate_name
//	Undo     update with what was delivered before, or site/set with the old name and remove
//	HTTP-01  site/get -> www_root -> filemng, as the owner of the site, on Plesk's machine
//	DNS-01   site/get -> id -> dns/add_rec, del_rec
//
// XML goes to agent.php, whose answer is 200 whatever happened: the status is in the body.
// Plesk gives no key back, hence package kept. Where no server is named, certificates are
// installed by the programs of this machine. What a site's owner can write to is never
// opened by edge itself, which may be root.
package plesk
