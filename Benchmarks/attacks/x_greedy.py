"""One client that asks without a pause: how long others wait that are served beside it."""

import os

from . import flood, http2
from .common import ATTACKER, Figure, Site, percentile

POINT, TITLE = "+", "GETs of one client on 4 connections without a pause, and how long others wait"
CONNECTIONS, SECONDS, OTHERS = 4, 5, 60
SITE = Site("keyless.attack.test", "keyless")
STORED, NOT_STORED = "/cached/1024", "/1024"


def run(lab):
    with lab.pair([SITE]) as (edge, _):
        figures = [*measure(lab, edge, "edge, pipelined, stored", pipelined, STORED),
                   *measure(lab, edge, "edge, pipelined, not stored", pipelined, NOT_STORED),
                   *measure(lab, edge, "edge, HTTP/2, stored", multiplexed, STORED)]
    if lab.nginx_binary:
        with lab.nginx(SITE.name) as nginx:
            figures += [*measure(lab, nginx, "nginx, pipelined, not stored", pipelined, NOT_STORED),
                        *measure(lab, nginx, "nginx, HTTP/2, not stored", multiplexed, NOT_STORED)]
    return figures


def pipelined(lab, port, path):
    batch = f"GET {path} HTTP/1.1\r\nHost: {SITE.name}\r\n\r\n".encode() * 400
    return flood.Stream(lab.connect(port, SITE.name, ATTACKER), lambda: batch)


def multiplexed(lab, port, path):
    frames, asked = http2.Frames(), 0
    start = [http2.PREFACE + http2.settings(window=1 << 30) + http2.SETTINGS_ACK
             + http2.frame(http2.WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big"))]

    def more():
        nonlocal asked
        room = 100 - (asked - len(frames.ended_streams))
        batch = b"".join(http2.request(2 * (asked + at) + 1, SITE.name, path) for at in range(room))
        asked += room
        return (start.pop() if start else b"") + batch

    return flood.Stream(lab.connect(port, SITE.name, ATTACKER, alpn=("h2",)), more, frames.feed)


def measure(lab, server, what, attack, path):
    lab.fetch(server.port, SITE.name, path)
    _, quiet = lab.others(server.port, SITE.name, OTHERS, SECONDS - 2, path)
    streams = [attack(lab, server.port, path) for _ in range(CONNECTIONS)]
    child = os.fork()  # a process of its own, so that the others' times are not those of this interpreter
    if child == 0:
        try:
            flood.run(streams, SECONDS)
        finally:
            os._exit(0)
    served, loud = lab.others(server.port, SITE.name, OTHERS, SECONDS - 2, path)
    os.waitpid(child, 0)
    for stream in streams:
        stream.connection.close()
    return [Figure(f"{what}: others served of {OTHERS}", served),
            Figure(f"{what}: their p90 without it", percentile(quiet, 0.9), "ms"),
            Figure(f"{what}: their p90 under it", percentile(loud, 0.9), "ms")]
