"""Clients that ask for much and read nothing: what the edge holds in memory for them."""

import time

from . import http2
from .common import ATTACKER, Figure, Site

POINT, TITLE = "+", "100 HTTP/2 connections of one address that read nothing, 100 streams each"
CONNECTIONS, STREAMS = 100, 100
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    figures = []
    for what, path in (("not stored", "/1048576"), ("stored", "/cached/1048576")):
        clients = []
        with lab.pair([SITE]) as (edge, _):
            try:
                lab.fetch(edge.port, SITE.name, path)
                before, peak = edge.resident(), 0
                for number in range(CONNECTIONS):
                    client = lab.connect(edge.port, SITE.name, ATTACKER, alpn=("h2",), receive_buffer=4096)
                    clients.append(client)
                    client.sendall(http2.PREFACE + http2.settings(window=(1 << 31) - 1) + http2.SETTINGS_ACK
                                   + http2.frame(http2.WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")) + b"".join(
                                       http2.request(2 * stream + 1, SITE.name, path) for stream in range(STREAMS)))
                until = time.monotonic() + 6
                while time.monotonic() < until:
                    peak = max(peak, edge.resident())
                    time.sleep(0.05)
                figures.append(Figure(f"{what}: RSS of the edge grows by", round((peak - before) / 2**20, 1), "MiB"))
            finally:
                for client in clients:
                    client.close()
    return figures
