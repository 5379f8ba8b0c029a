"""Asks certbot's own nginx plugin which server blocks it picks.

oracle.py ROOT HTTP HTTPS < names > {name: {"deploy": [...], "redirect": [...], "auth": [...]}}
A block is "FILE#N": the N-th one of its file.
"""
import collections
import json
import logging
import sys
import types

from certbot_nginx._internal import configurator, parser

logging.disable(logging.CRITICAL)
root, http, https = sys.argv[1:4]
c = configurator.NginxConfigurator.__new__(configurator.NginxConfigurator)
c.config = types.SimpleNamespace(http01_port=int(http), https_port=int(https))
c.parser = parser.NginxParser(root)
c.new_vhost = None
c.DEFAULT_LISTEN_PORT = http if http != "80" else "80"

number = {}
seen = collections.Counter()
for v in c.parser.get_vhosts():
    number[v.filep, tuple(v.path)] = seen[v.filep]
    seen[v.filep] += 1


def ids(vhosts):
    return sorted("%s#%d" % (v.filep, number[v.filep, tuple(v.path)]) for v in vhosts)


out = {}
for name in sys.stdin.read().split():
    ranked = [m["vhost"] for m in c._get_ranked_matches(name)]
    out[name] = {
        "deploy": ids(c._choose_vhost_single(name)),
        "redirect": ids(c.choose_redirect_vhosts(name, http)),
        "auth": ids([v for v in ranked if c._vhost_listening(v, http, False) or c._vhost_listening(v, https, True)]),
    }
json.dump(out, sys.stdout)
