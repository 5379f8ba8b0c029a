package accounts

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"edge/internal/edgetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asVictim) != "" {
		os.Exit(victim())
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.process"))
}

// oracleScript asks certbot's own account storage, one question a line.
const oracleScript = `
import argparse, json, sys
import josepy as jose
from acme import messages
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from certbot import configuration, errors
from certbot._internal import account

def storage(q):
    return account.AccountFileStorage(configuration.NamespaceConfig(argparse.Namespace(
        config_dir=q["dir"], work_dir=q["dir"] + "/work", logs_dir=q["dir"] + "/logs", server=q["server"],
        strict_permissions=False, http01_port=80, https_port=443, domains=[])))

def describe(a):
    return {"id": a.id, "uri": a.regr.uri, "slug": a.slug, "contact": list(a.regr.body.contact), "key": a.key.json_dumps()}

class Directory: # of the ACME client: it has no new-authz
    directory = argparse.Namespace()

def answer(q):
    do = q["do"]
    if do == "find":
        return {"accounts": [describe(a) for a in storage(q).find_all()]}
    if do == "load":
        return {"accounts": [describe(storage(q).load(q["id"]))]}
    if do == "delete":
        storage(q).delete(q["id"])
        return {}
    if do == "key":
        kind = q["id"]
        if kind.startswith("P-"):
            curve = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}[kind]
            key = jose.JWKEC(key=ec.generate_private_key(curve(), default_backend()))
        else:
            key = jose.JWKRSA(key=rsa.generate_private_key(65537, int(kind), default_backend()))
    if do == "parse":
        key = jose.JWK.json_loads(q["id"])
    a = account.Account(messages.RegistrationResource(body=messages.Registration(), uri=q["uri"]), key)
    if q["server"]:
        storage(q).save(a, Directory)
    return {"accounts": [describe(a)]}

for line in sys.stdin:
    try:
        a = answer(json.loads(line))
    except Exception as e:
        a = {"error": "%s: %s" % (type(e).__name__, e)}
    print(json.dumps(a), flush=True)
`

// oracle is certbot's account storage in a process of its own.
type oracle struct {
	t testing.TB
	*edgetest.Oracle
}

type question struct {
	Do     string `json:"do"` // find, load, delete, key (make, and save at a server), parse (a JWK)
	Dir    string `json:"dir"`
	Server string `json:"server"`
	ID     string `json:"id"`
	URI    string `json:"uri"`
}

type answer struct {
	Accounts []struct {
		ID, URI, Slug, Key string
		Contact            []string
	}
	Error string
}

func startOracle(t testing.TB) *oracle {
	t.Helper()
	return &oracle{t, edgetest.StartOracle(t, "-c", oracleScript)}
}

// of is the same oracle for a subtest.
func (o *oracle) of(t testing.TB) *oracle { return &oracle{t, o.Oracle} }

// try returns what certbot says, which may be an error.
func (o *oracle) try(q question) (a answer) {
	o.t.Helper()
	o.Ask(o.t, q, &a)
	return a
}

func (o *oracle) ask(q question) answer {
	o.t.Helper()
	a := o.try(q)
	if a.Error != "" {
		o.t.Fatalf("certbot, asked %+v: %s", q, a.Error)
	}
	return a
}

// register has certbot store an account, and returns its ID.
func (o *oracle) register(dir, server, uri string) string {
	o.t.Helper()
	return o.ask(question{Do: "key", Dir: dir, Server: server, ID: "1024", URI: uri}).Accounts[0].ID
}

// found are the accounts that certbot finds, as "id uri", sorted.
func (o *oracle) found(dir, server string) []string {
	o.t.Helper()
	out := []string{}
	for _, a := range o.ask(question{Do: "find", Dir: dir, Server: server}).Accounts {
		out = append(out, a.ID+" "+a.URI)
	}
	slices.Sort(out)
	return out
}

// tree lists what is below accounts/, with modes and the targets of links.
func tree(t testing.TB, dir string) string {
	t.Helper()
	root := filepath.Join(dir, "accounts")
	var lines []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%v %s", info.Mode(), strings.TrimPrefix(path, dir))
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + strings.TrimPrefix(target, dir)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
