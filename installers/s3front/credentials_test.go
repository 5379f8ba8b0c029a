package s3front

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// chained is a chain in a world of its own. Nothing is at the addresses of the machine's
// services unless env says so.
func chained(t *testing.T, env map[string]string) (*chain, *bytes.Buffer) {
	t.Helper()
	if env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] == "" {
		env["AWS_EC2_METADATA_DISABLED"] = "true"
	}
	said := &bytes.Buffer{}
	return &chain{
		told: func() (string, string, error) { return "", "", nil }, getenv: func(n string) string { return env[n] },
		dial: new(net.Dialer).DialContext, now: time.Now, log: slog.New(slog.NewTextHandler(said, nil)),
	}, said
}

// home has files of profiles.
func home(t *testing.T, credentials, config string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"credentials": credentials, "config": config} {
		if content == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, ".aws", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const twoProfiles = "# mine\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key=s/default+1 # old\n\n[ site ]\nAWS_ACCESS_KEY_ID = AKIASITE\naws_secret_access_key = s/site\naws_session_token = token==\n"

func TestChain(t *testing.T) {
	leaks := regexp.MustCompile(`\bs/(default|site|env|told|secret)|token==`)
	withEnv := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s/env", "AWS_SESSION_TOKEN": "tok"}
	for _, c := range []struct {
		name                string
		env                 map[string]string
		credentials, config string
		profile, told       string
		want                string // id secret session
		says                string // in the error
	}{
		{"settings", withEnv, twoProfiles, "", "", "AKIATOLD s/told", "AKIATOLD s/told ", ""},
		{"half of the settings", withEnv, "", "", "", "AKIATOLD ", "", "belong together"},
		{"environment", withEnv, twoProfiles, "", "", "", "AKIAENV s/env tok", ""},
		{"half of the environment", map[string]string{"AWS_ACCESS_KEY_ID": "AKIAENV"}, twoProfiles, "", "", "", "", "belong together"},
		{"a profile of the settings before the environment", withEnv, twoProfiles, "", "site", "", "AKIASITE s/site token==", ""},
		{"default", nil, twoProfiles, "", "", "", "AKIADEFAULT s/default+1 ", ""},
		{"AWS_PROFILE", map[string]string{"AWS_PROFILE": "site"}, twoProfiles, "", "", "", "AKIASITE s/site token==", ""},
		{"config", map[string]string{"AWS_PROFILE": "p"}, "", "[profile p]\nregion = x\ns3 =\n  addressing_style = path\naws_access_key_id = AKIAP\naws_secret_access_key = s/p\n", "", "", "AKIAP s/p ", ""},
		{"default in config", nil, "", "[default]\naws_access_key_id = AKIAD\naws_secret_access_key = s/d\n", "", "", "AKIAD s/d ", ""},
		{"no such profile", map[string]string{"AWS_PROFILE": "none"}, twoProfiles, "", "", "", "", "the profile none has no access key in"},
		{"a process", map[string]string{"AWS_PROFILE": "p"}, "", "[profile p]\ncredential_process = /bin/true\n", "", "", "", "has credential_process, which is not done here"},
		{"a role", nil, "", "[default]\nrole_arn = arn:x\nsource_profile = y\n", "", "", "", "has role_arn, which is not done"},
		{"not a file of profiles", nil, "secret\n", "", "", "", "", "line 1 is no KEY = VALUE"},
		{"nothing", nil, "", "", "", "", "", "set access_key_id"},
		{"an id with a line", map[string]string{"AWS_ACCESS_KEY_ID": "A\nB", "AWS_SECRET_ACCESS_KEY": "s"}, "", "", "", "", "", "characters that it cannot have"},
		{"a secret with a line", map[string]string{"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s/secret\n"}, "", "", "", "", "", "characters that it cannot have"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{"HOME": home(t, c.credentials, c.config)}
			for k, v := range c.env {
				env[k] = v
			}
			ch, _ := chained(t, env)
			ch.profile = c.profile
			ch.told = func() (string, string, error) {
				id, secret, _ := strings.Cut(c.told, " ")
				return id, secret, nil
			}
			got, err := ch.get(t.Context())
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || leaks.MatchString(err.Error()) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || got.id+" "+got.secret+" "+got.session != c.want {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
}

// role is the answer of the machine's and the container's service.
func role(id string, until time.Time) []byte {
	b, _ := json.Marshal(map[string]string{"Code": "Success", "AccessKeyId": id, "SecretAccessKey": "s/" + id, "Token": "tok", "Expiration": until.UTC().Format(time.RFC3339)})
	return b
}

// The role of a machine: with a token, renewed before it ends, and kept while it is good
// where it cannot be renewed.
func TestMachine(t *testing.T) {
	now := time.Now()
	asked, broken := 0, false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case broken:
			w.WriteHeader(http.StatusInternalServerError)
		case r.Method == "PUT" && r.URL.Path == "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			fmt.Fprint(w, "imds-token")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "imds-token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			fmt.Fprint(w, "my-role\n")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/my-role":
			asked++
			_, _ = w.Write(role(fmt.Sprintf("ASIA%d", asked), now.Add(time.Hour)))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	ch, said := chained(t, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL})
	ch.now = func() time.Time { return now }
	get := func(want string) {
		t.Helper()
		got, err := ch.get(t.Context())
		switch {
		case want == "":
			if err == nil {
				t.Errorf("%+v", got)
			}
		case err != nil || got.id != want || got.secret != "s/"+want || got.session != "tok":
			t.Errorf("%+v %v, want %s", got, err, want)
		}
	}
	get("ASIA1")
	get("ASIA1")
	now = now.Add(56 * time.Minute)
	get("ASIA2")
	broken = true
	now = now.Add(57 * time.Minute)
	get("ASIA2")
	if !strings.Contains(said.String(), "were not renewed") {
		t.Error(said)
	}
	now = now.Add(time.Hour)
	get("")
}

func TestNotOnEC2(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	ch, _ := chained(t, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL})
	if _, err := ch.get(t.Context()); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Error(err)
	}
}

func TestContainer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/bad":
			fmt.Fprint(w, `{"SecretAccessKey":"s/leak"`)
		case r.URL.Path == "/none":
			fmt.Fprint(w, `{"Code":"Failed","SecretAccessKey":"s/leak"}`)
		case r.URL.Path == "/old":
			_, _ = w.Write(role("ASIAOLD", time.Now().Add(-time.Hour)))
		case r.Header.Get("Authorization") != "Bearer x":
			w.WriteHeader(http.StatusForbidden)
		default:
			_, _ = w.Write(role("ASIACONTAINER", time.Now().Add(time.Hour)))
		}
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("Bearer x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ at, tokenIn, says string }{
		{s.URL + "/creds", file, ""},
		{s.URL + "/creds", "", "403"},
		{s.URL + "/bad", "", "not in the form"},
		{s.URL + "/none", "", "no credentials now"},
		{s.URL + "/old", "", "ended at"},
		{"http://example.org/creds", "", "neither https nor"},
		{"http://169.254.170.2.example.org/creds", "", "neither https nor"},
	} {
		ch, _ := chained(t, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": c.at, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": c.tokenIn})
		got, err := ch.get(t.Context())
		switch {
		case c.says == "" && (err != nil || got.id != "ASIACONTAINER"):
			t.Errorf("%s: %+v %v", c.at, got, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "leak")):
			t.Errorf("%s: %v", c.at, err)
		}
	}
	for at, want := range map[string]bool{
		"http://127.0.0.1/x": true, "http://[::1]/x": true, "http://169.254.170.23/v1/credentials": true, "https://creds.example.org/x": true,
		"http://10.0.0.1/x": false, "http://localhost.example.org/": false, "file:///etc/passwd": false, "http://user@127.0.0.1/": false,
	} {
		if mayAnswer(at) != want {
			t.Errorf("%s: %t", at, !want)
		}
	}
}

// A profile is read the same when it is written anew; nothing panics.
func FuzzProfiles(f *testing.F) {
	for _, seed := range []string{twoProfiles, "[a]\r\nx=1\r\n", "[profile  b ]; c\nx = y ;z\n  nested = 1\n", "[", "=", "[a]b", "[a]\nx=#\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		sections, err := parseProfiles(raw)
		if err != nil {
			if len(raw) > 0 && len(err.Error()) > 100 {
				t.Errorf("%v", err)
			}
			return
		}
		var b strings.Builder
		for name, keys := range sections {
			fmt.Fprintf(&b, "[%s]\n", name)
			for k, v := range keys {
				fmt.Fprintf(&b, "%s = %s\n", k, v)
			}
		}
		again, err := parseProfiles([]byte(b.String()))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(sections) {
			t.Errorf("%v\n%q\n%v\n%v", err, b.String(), sections, again)
		}
	})
}
