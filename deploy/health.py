"""Ends with 0 where the server of this container lives. HEALTH_URL: where it is asked, if not at port 8000 without TLS."""

import os
import ssl
import sys
import urllib.request

url = os.environ.get("HEALTH_URL", "http://127.0.0.1:8000/healthz")
own = ssl.create_default_context()
own.check_hostname, own.verify_mode = False, ssl.CERT_NONE  # its own server, by the loopback interface
try:
    with urllib.request.urlopen(url, timeout=8, context=own) as answer:
        sys.exit(answer.status != 200)
except OSError as why:
    sys.exit(f"{url}: {why}")
