"""Reads command lines with Debian's certbot: one question a line, one answer a line.

A question is {"args": [...], "files": [cli.ini, ...], "path": PATH, "home": HOME,
"renewal": file or ""}. The answer has the exit code and the error's text, or the
namespace, what certbot says was set by the user, the plugins requested, and what it
would save of it. With a renewal file, the namespace is that which renewal restores.
"flags": true asks for the table of flags instead, "ini" for what a configuration
file says.
"""
import contextlib
import io
import json
import os
import sys

import configargparse
import configobj

from certbot import configuration, errors
from certbot._internal import cli, constants, main, renewal, storage
from certbot._internal.plugins import disco, selection

FAKES = {  # plugins that may not be installed, with the flags of certbot 2.1's on Debian
    "apache": [("enmod", "a2enmod"), ("dismod", "a2dismod"), ("le-vhost-ext", "-le-ssl.conf"), ("server-root", "/etc/apache2"),
               ("vhost-root", None), ("logs-root", "/var/log/apache2"), ("challenge-location", "/etc/apache2"),
               ("handle-modules", True), ("handle-sites", True), ("ctl", "apache2ctl"), ("bin", None)],
    "nginx": [("server-root", "/etc/nginx"), ("ctl", "nginx"), ("sleep-seconds", 1)],
    "dns-cloudflare": [("propagation-seconds", 10), ("credentials", None)],
    "dns-rfc2136": [("propagation-seconds", 60), ("credentials", None)],
}


class Fake:
    long_description = "a stand-in"

    def __init__(self, flags):
        self.plugin_cls, self.flags = self, flags

    def inject_parser_options(self, group, name):
        for flag, default in self.flags:
            kwargs = {"type": int} if type(default) is int else {}
            group.add_argument("--%s-%s" % (name, flag), default=default, help="", **kwargs)


def registry():
    plugins = dict(REAL._plugins)
    for name, flags in FAKES.items():
        plugins.setdefault(name, Fake(flags))
    return disco.PluginsRegistry(dict(sorted(plugins.items())))


REAL = disco.PluginsRegistry.find_all()
disco.PluginsRegistry.find_all = classmethod(lambda cls: registry())


def plain(v):
    if isinstance(v, (str, int, bool, type(None))):
        return v
    if isinstance(v, dict):
        return [[k, x] for k, x in v.items()]
    if isinstance(v, type):
        return v.__name__
    if isinstance(v, bytes):
        return None
    return [plain(x) for x in v]


def restored(config, path):
    params = configobj.ConfigObj(path, encoding="utf-8", default_encoding="utf-8")["renewalparams"]
    params["key_type"] = params.get("key_type", "rsa")
    params = renewal._remove_deprecated_config_elements(params)
    renewal.restore_required_config_elements(config, params)
    renewal._restore_plugin_configs(config, params)


def flags():
    """The flags that certbot's parser has, in its order."""
    cli.helpful_parser = None
    cli.prepare_and_parse_args(registry(), [])
    return [{"names": a.option_strings, "dest": a.dest, "value": a.nargs != 0, "metavar": a.metavar or "",
             "choices": list(a.choices or [])} for a in cli.helpful_parser.parser._actions]


def ask(q):
    cli.helpful_parser, cli.set_by_cli.detector = None, None
    constants.CLI_DEFAULTS["config_files"] = q["files"]
    os.environ.update(PATH=q["path"], HOME=q["home"])
    if q["ini"]:
        items = configargparse.DefaultConfigFileParser().parse(io.StringIO(q["ini"], newline=None))
        return {"exit": 0, "items": [[k, v if isinstance(v, str) else [str(x) for x in v]] for k, v in items.items()]}
    if q["flags"]:
        return {"exit": 0, "flags": flags()}
    config = configuration.NamespaceConfig(cli.prepare_and_parse_args(registry(), list(q["args"])))
    if config.quiet:
        config.noninteractive_mode = True
    answer = {"exit": 0}
    if q["renewal"]:
        restored(config, q["renewal"])
    ns = vars(config.namespace)
    answer["namespace"] = {k: plain(v) for k, v in ns.items() if k not in ("func", "actual_csr")}
    try:
        auth, inst = selection.cli_plugin_requests(config)
        answer["plugins"] = [auth or "", inst or ""]
    except errors.Error as e:
        answer["plugins"] = [str(e)]
        return answer
    answer["set"] = sorted(k for k in ns if k not in ("func", "verb", "actual_csr", "config_file") and cli.set_by_cli(k))
    if q["save"]:
        config.account = config.account or "0123456789abcdef"
        selection_made(config, auth, inst)
        saved = storage.relevant_values(vars(config.namespace))
        answer["saved"] = [[k, plain(v)] for k, v in saved.items()]
    return answer


def selection_made(config, auth, inst):
    """record_chosen_plugins, without starting them."""
    config.authenticator = auth
    config.installer = inst


for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            a = ask(json.loads(line))
    except SystemExit as e:
        a = {"exit": e.code or 0, "left": True}
    except (errors.Error, ValueError, configargparse.ConfigFileParserException) as e:
        a = {"exit": 1, "error": str(e)}
    except Exception as e:
        a = {"exit": 1, "error": str(e), "crash": type(e).__name__}
    a["stdout"], a["stderr"] = out.getvalue(), err.getvalue()
    print(json.dumps(a), flush=True)
