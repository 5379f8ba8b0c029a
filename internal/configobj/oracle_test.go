package configobj

import (
	"encoding/json"
	"testing"

	"edge/internal/edgetest"
)

// oracleScript answers one question a line. Texts go through a file object's
// lines, as certbot's do.
const oracleScript = `
import io, json, sys
from configobj import ConfigObj, ConfigObjError

def tree(section):
    raw = lambda v: {"list": isinstance(v, list), "items": v if isinstance(v, list) else [v]}
    return {"keys": [[k, raw(dict.__getitem__(section, k))] for k in section.scalars],
            "sections": [[k, tree(dict.__getitem__(section, k))] for k in section.sections]}

def read(text):
    lines = io.BytesIO(text.encode("utf-8")).readlines()
    return ConfigObj(lines, encoding="utf-8", default_encoding="utf-8")

def answer(q):
    if q["do"] == "read":
        return {"tree": tree(read(q["text"]))}
    if q["do"] == "lookup":
        section = read(q["text"])
        for name in q["path"] or []:
            section = dict.__getitem__(section, name)
        v = section[q["key"]]
        return {"value": {"list": isinstance(v, list), "items": v if isinstance(v, list) else [v]}}
    c = ConfigObj(encoding="utf-8", default_encoding="utf-8")
    section = c
    for name in q["path"] or []:
        section[name] = {}
        section = section[name]
    v = q["value"]
    section[q["key"]] = v["items"] or [] if v["list"] else v["items"][0]
    out = io.BytesIO()
    c.write(out)
    return {"text": out.getvalue().decode("utf-8")}

for line in sys.stdin:
    try:
        a = answer(json.loads(line))
    except ConfigObjError as e:
        a = {"error": str(e), "line": (e.errors[0].line_number if hasattr(e, "errors") else e.line_number) or 0}
    except Exception as e:
        a = {"error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps(a), flush=True)
`

// oracle is certbot's ConfigObj in a process of its own.
type oracle struct {
	t testing.TB
	*edgetest.Oracle
}

type question struct {
	Do    string     `json:"do"` // read, lookup, write
	Text  string     `json:"text"`
	Path  []string   `json:"path"`
	Key   string     `json:"key"`
	Value *jsonValue `json:"value"`
}

type jsonValue struct {
	List  bool     `json:"list"`
	Items []string `json:"items"`
}

type reply struct {
	Tree  *tree     `json:"tree"`
	Value jsonValue `json:"value"`
	Text  string    `json:"text"`
	Error string    `json:"error"`
	Line  int       `json:"line"`
}

// tree is a section as both see it.
type tree struct {
	Keys     [][2]any `json:"keys"`
	Sections [][2]any `json:"sections"`
}

func startOracle(t testing.TB) *oracle {
	t.Helper()
	return &oracle{t, edgetest.StartOracle(t, "-c", oracleScript)}
}

func (o *oracle) ask(q question) (r reply) {
	o.t.Helper()
	o.Ask(o.t, q, &r)
	return r
}

// treeOf is ours in the same form, by way of JSON, so that both compare as text.
func treeOf(s *Section) map[string]any {
	keys, sections := [][2]any{}, [][2]any{}
	for _, k := range s.Keys() {
		v, _ := s.Get(k)
		keys = append(keys, [2]any{k, map[string]any{"list": v.List, "items": append([]string{}, v.Items...)}})
	}
	for _, name := range s.Sections() {
		sections = append(sections, [2]any{name, treeOf(s.Section(name))})
	}
	return map[string]any{"keys": keys, "sections": sections}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	b, err = json.Marshal(plain) // sorted
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
