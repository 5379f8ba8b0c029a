package display

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// question is a case for certbot's code (testdata/oracle.py) and for ours.
type question struct {
	Kind           string         `json:"kind"`
	Message        string         `json:"message"`
	Options        map[string]any `json:"options"`
	Frame          bool           `json:"frame"`
	Yes            string         `json:"yes"`
	No             string         `json:"no"`
	Tags           []string       `json:"tags"`
	Choices        []any          `json:"choices"`
	Invalid        bool           `json:"invalid"`
	Optional       bool           `json:"optional"`
	URL            string         `json:"url"`
	Verb           string         `json:"verb"`
	Multiple       bool           `json:"multiple"`
	Lineage        string         `json:"lineage"`
	Conf           string         `json:"conf"`
	Existing       []string       `json:"existing"`
	Requested      []string       `json:"requested"`
	Command        string         `json:"command"`
	From           string         `json:"from"`
	To             string         `json:"to"`
	Name           string         `json:"name"`
	Plugins        []plugin       `json:"plugins"`
	Stdin          string         `json:"stdin"`
	Force          bool           `json:"force"`
	NonInteractive bool           `json:"non_interactive"`
}

type plugin struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Problem     string `json:"problem"`
}

// outcome is what came of it. Errors have the name of certbot's class first.
type outcome struct {
	Out   string `json:"out"`
	Value any    `json:"value"`
	Error string `json:"error"`
}

// oracle asks certbot's code, in one process.
func oracle(t *testing.T, questions []question) []outcome {
	t.Helper()
	o := edgetest.StartOracle(t, "testdata/oracle.py")
	outcomes := make([]outcome, len(questions))
	for i := range questions {
		if questions[i].Options == nil {
			questions[i].Options = map[string]any{}
		}
		if questions[i].Tags == nil {
			questions[i].Tags = []string{}
		}
		o.Ask(t, questions[i], &outcomes[i])
	}
	return outcomes
}

// pipe is a file that has input, and no more.
func pipe(t *testing.T, input string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := w.WriteString(input); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return r
}

// ask asks ours.
func ask(t *testing.T, q question) outcome {
	t.Helper()
	var out bytes.Buffer
	var d Display = NewTerminal(pipe(t, q.Stdin), &out, Options{ForceInteractive: q.Force})
	if q.NonInteractive {
		d = NewNonInteractive(&out, Options{})
	}
	value, err := answer(t.Context(), d, q)
	o := outcome{Out: out.String(), Value: value}
	if err != nil {
		o.Value, o.Error = nil, err.Error()
	}
	// As certbot's come out of JSON.
	b, err := json.Marshal(o)
	if err == nil {
		o = outcome{}
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func answer(ctx context.Context, d Display, q question) (any, error) {
	always, _ := q.Options["force_interactive"].(bool)
	flag, _ := q.Options["cli_flag"].(string)
	switch q.Kind {
	case "notify":
		d.Notify(q.Message, q.Frame)
		return nil, nil
	case "listing":
		d.Listing(q.Message)
		return nil, nil
	case "pause":
		return nil, d.Pause(ctx, q.Message)
	case "input":
		def, _ := q.Options["default"].(string)
		return d.Input(ctx, q.Message, InputOptions{def, always, flag})
	case "yesno":
		o := YesNoOptions{nil, always, flag}
		if def, ok := q.Options["default"].(bool); ok {
			o.Default = &def
		}
		return d.YesNo(ctx, q.Message, q.Yes, q.No, o)
	case "menu":
		o := MenuOptions{nil, always, flag}
		if def, ok := q.Options["default"].(int); ok {
			o.Default = &def
		}
		return d.Menu(ctx, q.Message, choicesOf(q), o)
	case "checklist":
		def, _ := q.Options["default"].([]string)
		return d.Checklist(ctx, q.Message, q.Tags, ChecklistOptions{def, always, flag})
	case "valid-email":
		return ValidEmail(q.Message), nil
	}
	return answerDialog(ctx, d, q)
}

func answerDialog(ctx context.Context, d Display, q question) (any, error) {
	switch q.Kind {
	case "email":
		return AskEmail(ctx, d, EmailOptions{Invalid: q.Invalid, Optional: q.Optional})
	case "tos":
		return nil, AgreeTerms(ctx, d, q.URL)
	case "account":
		n, err := ChooseAccount(ctx, d, q.Tags)
		return q.Tags[n], err
	case "names":
		return ChooseNames(ctx, d, q.Tags, q.Message, checkName)
	case "values":
		return ChooseValues(ctx, d, q.Message, q.Tags)
	case "certs":
		if q.Multiple {
			return ChooseCerts(ctx, d, q.Verb, q.Tags)
		}
		name, err := ChooseCert(ctx, d, q.Verb, q.Message, q.Tags)
		return []string{name}, err
	case "delete":
		return ConfirmDelete(ctx, d, q.Tags)
	case "delete-revoked":
		return ConfirmDeleteRevoked(ctx, d)
	case "deactivate":
		return ConfirmDeactivate(ctx, d)
	case "new-names":
		return nil, ConfirmNewNames(ctx, d, q.Lineage, q.Existing, q.Requested)
	case "expand":
		err := ConfirmExpand(ctx, d, Expansion{Conf: q.Conf, Existing: q.Existing, Requested: q.Requested, Command: q.Command})
		return "renew", err
	case "identical":
		n, err := AskIdentical(ctx, d, q.Verb, q.Conf)
		return map[Identical]string{Keep: "reinstall", Renew: "renew"}[n], err
	case "key-type":
		return ConfirmKeyType(ctx, d, q.Lineage, q.From, q.To)
	case "plugin":
		var all []Plugin
		for _, p := range q.Plugins {
			all = append(all, Plugin(p))
		}
		return ChoosePlugin(ctx, d, q.Message, all)
	case "webroot":
		return ChooseWebroot(ctx, d, q.Name, q.Tags, func(dir string) (string, error) {
			if !strings.HasPrefix(dir, "/srv") {
				return "", fmt.Errorf("%s does not exist or is not a directory", dir)
			}
			return dir, nil
		})
	}
	return nil, errors.New("no such question: " + q.Kind)
}

func choicesOf(q question) []Choice {
	var out []Choice
	for _, c := range q.Choices {
		if pair, ok := c.([]string); ok {
			out = append(out, Choice{pair[0], pair[1]})
		} else {
			out = append(out, Choice{Text: c.(string)})
		}
	}
	return out
}

// checkName has two of certbot's texts for names, which are other packages' matter.
func checkName(name string) (string, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	for _, r := range name {
		if r > 127 {
			return "", errors.New("Non-ASCII domain names not supported. To issue for an Internationalized Domain Name, use Punycode.")
		}
	}
	if strings.Contains(name, "..") {
		return "", fmt.Errorf("Requested domain %s is not a FQDN because it contains an empty label.", name)
	}
	return name, nil
}

// The same questions and the same input: certbot and we print the same bytes and
// come to the same answer.
func TestAsCertbot(t *testing.T) {
	all := append(append(displayQuestions(), dialogQuestions()...), nonInteractiveQuestions()...)
	for i, want := range oracle(t, all) {
		q := all[i]
		t.Run(fmt.Sprintf("%d-%s", i, q.Kind), func(t *testing.T) {
			got := ask(t, q)
			_, wantError, _ := strings.Cut(want.Error, ": ")
			wantError = strings.TrimPrefix(wantError, "Unable to register an account with ACME server. ")
			if strings.HasPrefix(want.Error, "EOFError") && strings.HasPrefix(got.Error, "An unexpected error occurred:\nEOFError") {
				got.Error = ""
			}
			if got.Error == string(noNames) && reflect.DeepEqual(want.Value, []any{}) || got.Error == "No account has been chosen." && strings.HasPrefix(want.Error, "AttributeError") {
				got.Error, got.Value = wantError, want.Value // what certbot's callers make of it
			}
			if got.Error != wantError {
				t.Errorf("%+v:\nerror %q\n want %q", q, got.Error, want.Error)
			}
			if got.Out != want.Out {
				t.Errorf("%+v:\nprinted\n%s\nwant\n%s", q, got.Out, want.Out)
			}
			if want.Error == "" && !reflect.DeepEqual(got.Value, want.Value) {
				t.Errorf("%+v:\nanswer %#v, want %#v", q, got.Value, want.Value)
			}
		})
	}
}
