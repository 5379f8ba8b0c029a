package proxy

// serveFile answers with a file of the route's folder.
func (x *exchange) serveFile() { x.fail(501) }
