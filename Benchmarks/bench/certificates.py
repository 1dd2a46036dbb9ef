"""The private fleet and the site certificates of a run, made by `latchstring certs`."""

import os

from .processes import output_of

# Server name for each key type in the modes that terminate TLS; the relay case needs a name only.
SITES = {"p256": "p256.bench.test", "rsa-2048": "rsa.bench.test"}
HANDOFF_SITES = {"p256": "p256-handoff.bench.test", "rsa-2048": "rsa-handoff.bench.test"}
RELAY_NAME = "relay.bench.test"
SITE_AUTHORITY = "test-site-authority.pem"
EDGE, KEYHOLDER = "bench", "home"


def make(binary, directory):
    """Makes all certificates and keys in the directory."""
    sites = [f"--site={name}:{key_type}"
             for names in (SITES, HANDOFF_SITES) for key_type, name in names.items()]
    output_of([binary, "certs", "--out", directory, "--edge", EDGE, "--keyholder", KEYHOLDER, *sites])


def site_paths(directory, name):
    """Chain and key of the site with this server name, PEM."""
    base = os.path.join(directory, name)
    return base + ".pem", base + ".key"
