// Package process finds the processes of servers on this machine, and says whether one
// that a pid file names is what it is taken for: the file may be of an earlier boot, and
// anybody can start a program under any title.
package process
