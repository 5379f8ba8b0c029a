package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write the generated part of docs/configuration.md anew")

const (
	page  = "../../docs/configuration.md"
	begin = "<!-- generated from the code by make docs -->\n"
	end   = "<!-- end of the generated part -->\n"
)

// The table in docs/configuration.md is the table of the code.
func TestDocsConfiguration(t *testing.T) {
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(doc), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks around its generated part", page)
	}
	want := head + begin + Table() + end + tail
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(doc) {
		t.Errorf("%s is stale: run make docs", page)
	}
}

// Every example of the documents is valid, for the JSON Schema and for Load.
func TestDocsExamples(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("edge.schema.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("edge.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	pages, err := filepath.Glob("../../docs/targets/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(pages, page, "../../README.md", "../../docs/delivery.md") {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(doc, -1) {
			example := string(m[1])
			if strings.HasPrefix(example, "apiVersion:") { // Kubernetes's
				continue
			}
			if strings.HasPrefix(example, "deliver:") { // of one certificate
				example = "certificates:\n  - name: x\n    hosts: [www.example.org]\n    " + strings.ReplaceAll(strings.TrimSpace(example), "\n", "\n    ") + "\n"
			}
			if !strings.HasPrefix(example, "version:") { // of one target
				example = "version: 1\nacme: {email: ops@example.org, agree_tos: true}\n" + example
			}
			examples = append(examples, example)
		}
	}
	sample, err := os.ReadFile("../../deploy/etc/edge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	examples = append(examples, string(sample))
	if len(examples) < 20 {
		t.Fatalf("found %d examples only", len(examples))
	}
	for _, e := range examples {
		dir := t.TempDir()
		write(t, dir, "cf.token", "token", 0o600)
		write(t, dir, "tsig.secret", "c2VjcmV0", 0o600)
		write(t, dir, "jks.pass", "changeit", 0o600)
		t.Setenv("EAB_KID", "kid-1")
		write(t, dir, "eab.hmac", "c2VjcmV0", 0o600)
		writePair(t, dir)
		text := strings.ReplaceAll(e, "/etc/edge/", dir+"/")
		if _, err := Load(write(t, dir, "edge.yaml", text, 0o644)); err != nil {
			t.Errorf("%v\nin\n%s", err, e)
		}
		if err := validate(compiled, text); err != nil {
			t.Errorf("JSON Schema: %v\nin\n%s", err, e)
		}
	}
	for name, bad := range map[string]string{
		"unknown key": minimal + "nosuch: 1\n",
		"no unit":     minimal + "limits: {idle: 30}\n",
		"enum":        minimal + "log: {level: loud}\n",
		"no proxy":    "version: 1\nsites: [{hosts: [a.test]}]\n",
	} {
		if validate(compiled, bad) == nil {
			t.Errorf("the JSON Schema lets pass: %s", name)
		}
	}
}

func validate(s *jsonschema.Schema, text string) error {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}
