// Package heroku brings certificates to apps of Heroku by its Platform API (version 3), and
// answers HTTP-01 by a config variable of an app.
//
//	Put:     acm? -> endpoint and domains -> PATCH or POST sni-endpoints -> PATCH domains
//	Undo:    the domains of before -> the pair that was kept, or DELETE what was made
//	Present: config variable (a release, the dynos start anew) -> Ready: dynos up, answer seen
//
// Heroku gives no keys back: what was delivered last is kept by package kept. The value
// that the variable had before is beside it in the app while a challenge is on, so that
// also the next process finds it.
package heroku
