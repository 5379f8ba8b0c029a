# oracle.py ROOT WORK NAMES: which virtual hosts Debian's certbot finds below ROOT, and
# which of them it would take for each of NAMES (a JSON file).
import argparse, json, sys

from certbot import configuration
from certbot._internal.display import obj
from certbot_apache._internal import override_debian

obj.set_display(obj.NoninteractiveDisplay(sys.stderr))
root, work, names = sys.argv[1:]
config = configuration.NamespaceConfig(argparse.Namespace(
    config_dir=work, work_dir=work, logs_dir=work, backup_dir=work + "/b", temp_checkpoint_dir=work + "/t", in_progress_dir=work + "/i",
    no_verify_ssl=False, http01_port=80, https_port=443, domains=None, server="https://ca.test/", strict_permissions=False,
    apache_server_root=root, apache_vhost_root=None, apache_le_vhost_ext="-le-ssl.conf", apache_challenge_location=root,
    apache_enmod="a2enmod", apache_dismod="a2dismod", apache_logs_root=root, apache_handle_modules=True,
    apache_handle_sites=True, apache_ctl="apache2ctl", apache_bin=None))
plugin = override_debian.DebianConfigurator(config, "apache")
plugin.prepare()
plugin.get_name_from_ip = lambda addr: ""


def describe(v):
    return v and {"File": v.filep, "Names": sorted(v.get_names()), "Addrs": sorted(str(a) for a in v.addrs), "TLS": v.ssl}


json.dump({
    "Names": sorted(plugin.get_all_names()),
    "Hosts": [describe(v) for v in plugin.vhosts],
    "Chosen": {n: describe(plugin._find_best_vhost(n)) for n in json.load(open(names))},
}, sys.stdout)
