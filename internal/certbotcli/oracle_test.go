package certbotcli

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// oracle is Debian's certbot in a process of its own; see testdata/oracle.py.
type oracle struct {
	t testing.TB
	*edgetest.Oracle
}

type question struct {
	Args    []string `json:"args"`
	Files   []string `json:"files"`
	Path    string   `json:"path"`
	Home    string   `json:"home"`
	Renewal string   `json:"renewal"` // file whose [renewalparams] to restore
	Save    bool     `json:"save"`    // say what would be saved
	Flags   bool     `json:"flags"`   // list the flags, and do nothing else
	INI     string   `json:"ini"`     // read this, and do nothing else
}

type reply struct {
	Exit           int                        `json:"exit"`
	Left           bool                       `json:"left"` // by sys.exit
	Error          string                     `json:"error"`
	Crash          string                     `json:"crash"` // kind of an exception that is no answer
	Namespace      map[string]json.RawMessage `json:"namespace"`
	Set            []string                   `json:"set"`
	Plugins        []string                   `json:"plugins"`
	Saved          [][2]any                   `json:"saved"`
	Flags          []oracleFlag               `json:"flags"`
	Items          [][2]any                   `json:"items"`
	Stdout, Stderr string
}

type oracleFlag struct {
	Names   []string `json:"names"`
	Dest    string   `json:"dest"`
	Value   bool     `json:"value"`
	Metavar string   `json:"metavar"`
	Choices []string `json:"choices"`
}

func startOracle(t testing.TB) *oracle {
	t.Helper()
	return &oracle{t, edgetest.StartOracle(t, "testdata/oracle.py")}
}

func (o *oracle) ask(q question) (r reply) {
	o.t.Helper()
	if q.Files == nil {
		q.Files = []string{}
	}
	if q.Args == nil {
		q.Args = []string{}
	}
	o.Ask(o.t, q, &r)
	return r
}

// message is the error's text: argparse's last line, or the exception.
func (r reply) message() string {
	if !r.Left {
		return r.Error
	}
	_, message, _ := strings.Cut(strings.TrimSuffix(r.Stderr, "\n"), "certbot: error: ")
	return message
}

// env is that of an oracle's question.
func (q question) env() Env {
	return Env{ConfigFiles: append([]string{}, q.Files...), AsCertbot: true, Getenv: func(name string) string {
		return map[string]string{"PATH": q.Path, "HOME": q.Home}[name]
	}}
}

// compare reports every option that differs from certbot's namespace.
func compare(t *testing.T, o *Options, namespace map[string]json.RawMessage) {
	t.Helper()
	seen := 0
	for dest, raw := range namespace {
		if dest == "verb" {
			if want := fmt.Sprintf("%q", o.Verb); string(raw) != want {
				t.Errorf("verb: certbot has %s, we %s", raw, want)
			}
			continue
		}
		field := o.field(o, dest)
		if !field.IsValid() {
			if string(raw) != "null" && string(raw) != "false" {
				t.Errorf("%s: certbot has %s, we have no such option", dest, raw)
			}
			continue
		}
		seen++
		if got, want := canonical(t, field), canonicalJSON(t, field, raw); got != want {
			t.Errorf("%s: certbot has %s, we %s", dest, want, got)
		}
	}
	if seen < 100 {
		t.Errorf("only %d options compared", seen)
	}
}

// canonical is a value as text, the same for ours and certbot's.
func canonical(t *testing.T, field reflect.Value) string {
	t.Helper()
	switch v := field.Interface().(type) {
	case *CSR:
		if v == nil {
			return ""
		}
		return v.Path
	case WebrootMap:
		var parts []string
		for _, w := range v {
			parts = append(parts, w.Name+"="+w.Path)
		}
		return strings.Join(parts, ",")
	case string, int, bool, Tri, time.Duration, []string, fs.FileMode:
		return format(field)
	}
	t.Fatalf("no way to compare %T", field.Interface())
	return ""
}

func canonicalJSON(t *testing.T, field reflect.Value, raw json.RawMessage) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	_, isCSR := field.Interface().(*CSR)
	switch v := v.(type) {
	case nil:
		if field.Kind() == reflect.Int {
			return "0"
		}
		return ""
	case bool:
		return format(reflect.ValueOf(v))
	case float64:
		return fmt.Sprint(int64(v))
	case string:
		return v
	case []any:
		var parts []string
		for _, e := range v {
			if pair, ok := e.([]any); ok {
				e = fmt.Sprint(pair[0], "=", pair[1])
			}
			parts = append(parts, fmt.Sprint(e))
		}
		if isCSR {
			return parts[0]
		}
		return strings.Join(parts, ",")
	}
	t.Fatalf("no way to compare %s", raw)
	return ""
}
