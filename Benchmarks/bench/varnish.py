"""Varnish behind Hitch as a peer: Hitch ends TLS in one worker and passes on by a Unix socket with PROXY v2."""

import os

_VCL = """\
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{origin}"; }}
"""

_HITCH = """\
frontend = "[127.0.0.1]:{port}"
backend = "{directory}/varnish.sock"
pem-file = "{directory}/hitch.pem"
workers = 1
daemon = off
write-proxy-v2 = on
alpn-protos = "h2, http/1.1"
tls-protos = TLSv1.2 TLSv1.3
syslog = off
log-level = 0
{user}"""


def varnish_command(binary, directory, origin_http, http_port):
    """One pool of threads. It listens at a port as well, by which its start is seen."""
    with open(f"{directory}/bench.vcl", "w") as file:
        file.write(_VCL.format(origin=origin_http))
    return [binary, "-j", "none", "-F", "-n", f"{directory}/varnish", "-f", f"{directory}/bench.vcl",
            "-a", f"{directory}/varnish.sock,PROXY,mode=666", "-a", f"127.0.0.1:{http_port}",
            "-s", "default,512m", "-p", "feature=+http2", "-p", "thread_pools=1", "-p", "thread_pool_min=50",
            "-p", "workspace_client=64k"]


def hitch_command(binary, directory, port, chain, key):
    with open(f"{directory}/hitch.pem", "w") as pem:
        for path in (key, chain):
            with open(path) as part:
                pem.write(part.read())
    # Hitch gives up root; the directory of a run is for its owner only.
    with open(f"{directory}/hitch.conf", "w") as file:
        file.write(_HITCH.format(port=port, directory=directory, user='user = "root"\n' if os.geteuid() == 0 else ""))
    return [binary, f"--config={directory}/hitch.conf"]
