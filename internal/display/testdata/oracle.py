"""Answers questions with certbot's own code: a list of cases on stdin, a list of outcomes on stdout."""
import io, json, logging, os, sys
from types import SimpleNamespace
from unittest import mock

from certbot import errors, util
from certbot._internal import cert_manager, cli, main
from certbot._internal.display import obj
from certbot._internal.plugins import selection, webroot
from certbot.display import ops, util as display_util

logging.getLogger().addHandler(logging.NullHandler())


class Done(Exception):
    """What would come after the question."""


def lineage(c):
    return SimpleNamespace(names=lambda: c["existing"], lineagename=c.get("lineage"), private_key_type=c.get("from") or "RSA",
                           configfile=SimpleNamespace(filename=c.get("conf")), ensure_deployed=lambda: True)


def config(**more):
    base = dict(expand=False, renew_by_default=False, reinstall=False, renew_with_new_domains=False, certname=None,
                key_type="rsa", delete_after_revoke=None, cert_path=None, account=None, email="a@example.org", tos=False,
                register_unsafely_without_email=False)
    base.update(more)
    return SimpleNamespace(**base)


def tos(c):
    def register(conf, storage, tos_cb):
        tos_cb(c["url"])
        raise Done
    with mock.patch.object(main.account, "AccountFileStorage", lambda conf: SimpleNamespace(find_all=lambda: [])), \
            mock.patch.object(main.client, "register", register):
        main._determine_account(config())


def until(question):
    """Was it answered with yes?"""
    try:
        return bool(question())
    except (Done, AssertionError):
        return True


def certs(c):
    with mock.patch.object(cert_manager.storage, "renewal_conf_files", lambda conf: c["tags"]), \
            mock.patch.object(cert_manager.storage, "lineagename_for_filename", lambda name: name):
        return cert_manager.get_certnames(config(), c["verb"], allow_multiple=c["multiple"], custom_prompt=c["message"])


def delete(c):
    deleted = []
    with mock.patch.object(cert_manager, "get_certnames", lambda *a, **k: c["tags"]), \
            mock.patch.object(cert_manager.storage, "delete_files", lambda conf, name: deleted.append(name)), \
            mock.patch.object(display_util, "notify"):
        cert_manager.delete(config())
    return bool(deleted)


def deactivate(c):
    def gone(conf):
        raise Done
    with mock.patch.object(main.account, "AccountFileStorage", lambda conf: SimpleNamespace(find_all=lambda: [1])), \
            mock.patch.object(main, "_determine_account", gone):
        return until(lambda: not main.unregister(config(), None))


def expand(c):
    argv = c["command"].split(" ")
    with mock.patch.object(cli, "cli_command", argv[0]), mock.patch.object(sys, "argv", argv):
        return main._handle_subset_cert_request(config(key_type="rsa"), c["requested"], lineage(c))[0]


def identical(c):
    with mock.patch.object(main.renewal, "should_renew", lambda *a: False):
        return main._handle_identical_cert_request(config(verb=c["verb"]), lineage(c))[0]


def keytype(c):
    with mock.patch.object(cli, "set_by_cli", lambda name: False):
        return main._handle_unexpected_key_type_migration(config(key_type=c["to"].lower()), lineage(c))


def plugin(c):
    eps = [SimpleNamespace(description_with_name="%s (%s)" % (p["description"], p["name"]), misconfigured=bool(p.get("problem")),
                           name=p["name"], prepare=lambda p=p: p["problem"]) for p in c["plugins"]]
    chosen = selection.choose_plugin(eps, c["message"])
    return chosen and chosen.name


def choose_webroot(c):
    def check(path):
        if not path.startswith("/srv"):
            raise errors.PluginError(path + " does not exist or is not a directory")
        return path
    with mock.patch.object(webroot, "_validate_webroot", check):
        auth = webroot.Authenticator.__new__(webroot.Authenticator)
        auth.name = "webroot"
        return auth._prompt_for_webroot(c["name"], list(c["tags"]))


def answered(code_and_value):
    code, value = code_and_value
    if code == display_util.CANCEL:
        raise Cancelled()
    return value


class Cancelled(Exception):
    def __str__(self):
        return "cancelled"


KINDS = {
    "notify": lambda c: obj.get_display().notification(c["message"], pause=False, wrap=c["frame"], decorate=c["frame"]),
    "listing": lambda c: obj.get_display().notification(c["message"], pause=False, wrap=False),
    "pause": lambda c: obj.get_display().notification(c["message"]),
    "input": lambda c: answered(display_util.input_text(c["message"], **c["options"])),
    "yesno": lambda c: display_util.yesno(c["message"], c["yes"], c["no"], **c["options"]),
    "menu": lambda c: answered(display_util.menu(c["message"], [tuple(x) if isinstance(x, list) else x for x in c["choices"]], **c["options"])),
    "checklist": lambda c: answered(display_util.checklist(c["message"], c["tags"], **c["options"])),
    "email": lambda c: ops.get_email(invalid=c["invalid"], optional=c["optional"]),
    "valid-email": lambda c: util.safe_email(c["message"]),
    "tos": tos,
    "account": lambda c: ops.choose_account([SimpleNamespace(slug=t) for t in c["tags"]]).slug,
    "names": lambda c: ops.choose_names(SimpleNamespace(get_all_names=lambda: c["tags"]) if c["tags"] else None, c.get("message")),
    "values": lambda c: ops.choose_values(c["tags"], c["message"]),
    "certs": certs,
    "delete": delete,
    "delete-revoked": lambda c: until(lambda: main._delete_if_appropriate(config())),
    "deactivate": deactivate,
    "new-names": lambda c: main._ask_user_to_confirm_new_names(config(), c["requested"], c["lineage"], c["existing"]),
    "expand": expand,
    "identical": identical,
    "key-type": keytype,
    "plugin": plugin,
    "webroot": choose_webroot,
}


def run(c):
    stdin, stdout = sys.stdin, sys.stdout
    r, w = os.pipe()
    os.write(w, c["stdin"].encode())
    os.close(w)
    sys.stdin, sys.stdout = os.fdopen(r), io.StringIO()
    try:
        display = obj.NoninteractiveDisplay if c["non_interactive"] else obj.FileDisplay
        obj.set_display(display(sys.stdout, c["force"]))
        out = {"value": None, "error": ""}
        try:
            out["value"] = KINDS[c["kind"]](c)
        except Exception as e:
            out["error"] = "%s: %s" % (type(e).__name__, e)
        out["out"] = sys.stdout.getvalue()
        return out
    finally:
        sys.stdin.close()
        sys.stdin, sys.stdout = stdin, stdout


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
