"""The private fleet and the site certificates of a run, made by `latchstring certs`."""

import os

from .processes import output_of

# Server name for each key type; the relay case needs a name only.
SITES = {"p256": "p256.bench.test", "rsa-2048": "rsa.bench.test"}
RELAY_NAME = "relay.bench.test"
EDGE, KEYHOLDER = "bench", "home"


def make(binary, directory):
    """Makes all certificates and keys in the directory."""
    sites = [f"--site={name}:{key_type}" for key_type, name in SITES.items()]
    output_of([binary, "certs", "--out", directory, "--edge", EDGE, "--keyholder", KEYHOLDER, *sites])


def site_paths(directory, key_type):
    """Chain and key of a site, PEM."""
    base = os.path.join(directory, SITES[key_type])
    return base + ".pem", base + ".key"
