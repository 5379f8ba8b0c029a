package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that was started here.
type process struct {
	cmd   *exec.Cmd
	addr  string
	sites int // hosts that a load may spread over; 1: the one
	done  chan struct{}
	out   *os.File
}

func startProcess(dir, name, addr string, args ...string) (*process, error) {
	bin, err := exec.LookPath(args[0])
	if err != nil {
		for _, d := range []string{"/usr/sbin", "/usr/bin"} {
			if p := filepath.Join(d, args[0]); bin == "" {
				if _, serr := os.Stat(p); serr == nil {
					bin = p
				}
			}
		}
		if bin == "" {
			return nil, fmt.Errorf("%s is not installed: make bench-deps, or leave it out with -servers", args[0])
		}
	}
	out, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(bin, args[1:]...), addr: addr, out: out}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return p, p.run()
}

// restart ends the process and starts it again as it was.
func (p *process) restart() error {
	old := p.cmd
	p.end()
	p.cmd = exec.Command(old.Path, old.Args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir, p.cmd.Env = p.out, p.out, old.Dir, old.Env
	if err := p.run(); err != nil {
		return err
	}
	return p.listening()
}

func (p *process) run() error {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	done, cmd := make(chan struct{}), p.cmd
	p.done = done
	go func() { cmd.Wait(); close(done) }()
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) stop() {
	p.end()
	p.out.Close()
}

func (p *process) end() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// listening waits until the process accepts connections.
func (p *process) listening() error {
	deadline := time.Now().Add(15 * time.Second)
	for time.Now().Before(deadline) {
		if c, err := net.Dial("tcp", p.addr); err == nil {
			c.Close()
			return nil
		}
		select {
		case <-p.done:
			log, _ := os.ReadFile(p.out.Name())
			return fmt.Errorf("%s ended: %s", p.cmd.Path, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not listen on %s", p.cmd.Path, p.addr)
}

// tree lists a process and its descendants.
func tree(pid int) []int {
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, f := range tasks {
			b, _ := os.ReadFile(f)
			for _, s := range strings.Fields(string(b)) {
				if n, err := strconv.Atoi(s); err == nil {
					pids = append(pids, n)
				}
			}
		}
	}
	return pids
}

// cpuOf is the CPU time of a process tree so far.
func cpuOf(pid int) (time.Duration, error) {
	var sum time.Duration
	for _, p := range tree(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			continue // ended meanwhile
		}
		d, err := parseStat(string(b))
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// parseStat reads utime and stime, in ticks of 10 ms, from /proc/PID/stat. The
// second field is the command, in parentheses, and may hold anything.
func parseStat(s string) (time.Duration, error) {
	i := strings.LastIndexByte(s, ')')
	if i < 0 {
		return 0, errors.New("no command in /proc/PID/stat")
	}
	f := strings.Fields(s[i+1:])
	if len(f) < 13 {
		return 0, errors.New("short /proc/PID/stat")
	}
	var ticks int64
	for _, v := range f[11:13] {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// pssOf is the proportional set size of a process tree in bytes.
func pssOf(pid int) (int64, error) {
	var sum int64
	for _, p := range tree(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(b), "\n") {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
				n, err := strconv.ParseInt(f[1], 10, 64)
				if err != nil {
					return 0, err
				}
				sum += n << 10
			}
		}
	}
	return sum, nil
}

// load is a load generator in a process of its own.
type load struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	stdin io.WriteCloser
	last  string
}

func startLoad(kind string, s *process, o options) (*load, error) {
	l := &load{cmd: exec.Command("/proc/self/exe", "child", "load", kind, s.addr, strconv.Itoa(s.sites), fmt.Sprint(o.warmup), fmt.Sprint(o.seconds), fmt.Sprint(o.idle))}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.cmd.Stderr = os.Stderr
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	l.lines = bufio.NewScanner(out)
	return l, l.cmd.Start()
}

// expect waits for a line that begins with a word.
func (l *load) expect(word string) error {
	for l.lines.Scan() {
		if l.last = l.lines.Text(); strings.HasPrefix(l.last, word) {
			return nil
		}
	}
	return fmt.Errorf("the load generator ended before %q", word)
}

func (l *load) stop() {
	l.stdin.Close()
	l.cmd.Process.Kill()
	l.cmd.Wait()
}
