"""Starts the peers and the origin for a run, and says on which port each variant listens."""

import dataclasses
import os

from . import certificates, haproxy, nginx, varnish
from .processes import Server, free_port


@dataclasses.dataclass
class Origin:
    server: Server
    http: int
    raw: int


def start_origin(tool, core, directory):
    http, raw = free_port(), free_port()
    server = Server("origin", [tool, "--http", str(http), "--raw", str(raw)], core, directory, http)
    return Origin(server, http, raw)


def start_delay(tool, core, directory, to, milliseconds):
    """A way to a port that takes so long in each direction. Returns the server and its port."""
    port = free_port()
    return Server("delay", [tool, "--listen", str(port), "--to", str(to), "--milliseconds", str(milliseconds)], core,
                  directory, port), port


@dataclasses.dataclass
class Floor:
    """Two channels of swift-nio and nothing else: what `relay` mode stands on."""
    server: Server
    relays: dict  # variant -> port


def start_floor(binary, core, directory, origin):
    port = free_port()
    server = Server("relayfloor", [binary, "--port", str(port), "--to", str(origin.raw)], core, directory, port)
    return Floor(server, {"plain": port})


@dataclasses.dataclass
class Nginx:
    server: Server
    sites: dict  # key type -> port
    relays: dict  # variant -> port


# variant -> (buffer size, whether the server name is read)
NGINX_RELAYS = {"plain": ("16k", False), "256k": ("256k", False), "by name": ("16k", True)}


def start_nginx(binary, core, directory, certificate_directory, origin):
    sites = {key_type: free_port() for key_type in certificates.SITES}
    relays = {variant: free_port() for variant in NGINX_RELAYS}
    path = nginx.configuration(
        directory,
        [(port, certificates.SITES[key_type], *certificates.site_paths(certificate_directory, certificates.SITES[key_type]))
         for key_type, port in sites.items()],
        origin.http,
        [(port, *NGINX_RELAYS[variant]) for variant, port in relays.items()],
        origin.raw, certificates.RELAY_NAME)
    server = Server("nginx", nginx.command(binary, directory, path), core, directory, next(iter(sites.values())))
    return Nginx(server, sites, relays)


@dataclasses.dataclass
class Varnish:
    server: Server
    hitch: Server
    port: int  # of Hitch

    def stop(self):
        self.hitch.stop()
        self.server.stop()


def start_varnish(varnishd, hitch, core, directory, certificate_directory, origin):
    """Behind Hitch with the P-256 certificate."""
    plain, port = free_port(), free_port()
    server = Server("varnish", varnish.varnish_command(varnishd, directory, origin.http, plain), core, directory, plain)
    paths = certificates.site_paths(certificate_directory, certificates.SITES["p256"])
    try:
        front = Server("hitch", varnish.hitch_command(hitch, directory, port, *paths), core, directory, port)
    except BaseException:
        server.stop()
        raise
    return Varnish(server, front, port)


@dataclasses.dataclass
class HAProxy:
    server: Server
    relays: dict  # variant -> port


# variant -> (whether to splice, whether the server name is read)
HAPROXY_RELAYS = {"plain": (False, False), "splice": (True, False), "by name": (False, True)}


def start_haproxy(binary, core, directory, origin, buffer=None):
    """HAProxy with its default buffers, or with buffers of so many bytes, which is a setting of the whole process."""
    name = f"haproxy-{buffer}" if buffer else "haproxy"
    relays = {variant: free_port() for variant in HAPROXY_RELAYS}
    path = os.path.join(directory, name + ".cfg")
    haproxy.configuration(path, origin.raw, [(port, *HAPROXY_RELAYS[variant]) for variant, port in relays.items()],
                          certificates.RELAY_NAME, buffer)
    server = Server(name, haproxy.command(binary, path), core, directory, next(iter(relays.values())))
    return HAProxy(server, relays)
