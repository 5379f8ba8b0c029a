package display

import "strings"

// SideFrame is the dashed line above and below what stands in a frame, as wide as
// certbot's.
var SideFrame = strings.Repeat("- ", 39) + "-"
