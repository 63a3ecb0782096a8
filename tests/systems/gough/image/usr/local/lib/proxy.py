"""nginx in front of the portal, with a certificate that it makes for itself: no key lies in an image."""

import os
import subprocess

subprocess.run(
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=portal.gough.example "
    "-keyout /tmp/portal.key -out /tmp/portal.crt".split(),
    check=True,
)
os.execv("/usr/sbin/nginx", ["nginx", "-c", "/etc/nginx/portal.conf"])
