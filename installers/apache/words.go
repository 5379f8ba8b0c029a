package apache

import "fmt"

// certbots is an error in certbot's words, with its capital letters and full stops:
// scripts may look for them.
func certbots(format string, args ...any) error { return fmt.Errorf(format, args...) }
