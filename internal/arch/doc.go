// Package arch holds the rules on who may import whom, and the test that
// enforces them by parsing the imports of every file.
package arch
