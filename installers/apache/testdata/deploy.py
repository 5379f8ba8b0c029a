# deploy.py ROOT WORK NAME: Debian's certbot installs a certificate for NAME below ROOT,
# and redirects to it.
import argparse, sys

from certbot import configuration, errors
from certbot._internal.display import obj
from certbot_apache._internal import override_debian

obj.set_display(obj.NoninteractiveDisplay(sys.stderr))
root, work, name = sys.argv[1:]
config = configuration.NamespaceConfig(argparse.Namespace(
    config_dir=work, work_dir=work, logs_dir=work, backup_dir=work + "/b", temp_checkpoint_dir=work + "/t", in_progress_dir=work + "/i",
    no_verify_ssl=False, http01_port=80, https_port=443, domains=None, server="https://ca.test/", strict_permissions=False,
    apache_server_root=root, apache_vhost_root=None, apache_le_vhost_ext="-le-ssl.conf", apache_challenge_location=root,
    apache_enmod="a2enmod", apache_dismod="a2dismod", apache_logs_root=root, apache_handle_modules=True,
    apache_handle_sites=True, apache_ctl="apache2ctl", apache_bin=None))
plugin = override_debian.DebianConfigurator(config, "apache")
plugin.prepare()
plugin.get_name_from_ip = lambda addr: ""
plugin.deploy_cert(name, "/live/x/cert.pem", "/live/x/privkey.pem", "/live/x/chain.pem", "/live/x/fullchain.pem")
plugin.save("Deployed ACME Certificate")
try:
    plugin.enhance(name, "redirect")
    plugin.save("Add enhancement redirect")
except errors.Error as e:
    print("no redirect:", e)
