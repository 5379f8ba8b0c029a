// Package hooks runs people's scripts before, after and around an order, as
// certbot does: the same commands, variables, order and texts.
//
//	Session  what runs when and how often: pre, deploy, post, on-failure
//	  -> Runner.Run  one command: environment, process group, deadline, output
//	       -> Result -> Runner.Output (for people), error (for the exit status)
//
// A hook gets its variables by a copy of the environment. The process's own is
// never changed, so nothing of one lineage reaches the hooks of another, nor the
// hooks of lineages that are renewed at the same time.
//
// Nothing here knows certificates, trees or flags; cmd/edge passes in what a hook
// is told.
package hooks
