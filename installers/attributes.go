package installers

// attributes are what a file has beside its content.
type attributes struct{}
