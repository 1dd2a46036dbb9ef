"""Requests for large bodies whose client leaves at once: what the edge still fetches."""

import time

from . import http2
from .a11_origin import EndlessOrigin
from .common import ATTACKER, Figure, Site

POINT, TITLE = "+", "300 requests for bodies of 48 MiB, the client leaves at once"
REQUESTS, BODY, SECONDS = 300, 48 << 20, 8
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    figures = []
    for what, rule in (("may be stored", "max-age=60"), ("may not be stored", "no-store")):
        head = f"HTTP/1.1 200 OK\r\nCache-Control: {rule}\r\nContent-Length: {BODY}\r\n\r\n".encode()
        origin = EndlessOrigin(head, b"x" * 65536, BODY)
        try:
            with lab.pair([SITE], origin_port=origin.port) as (edge, _):
                before, cpu, peak = edge.resident(), edge.cpu(), 0
                for number in range(REQUESTS // 100):
                    with lab.connect(edge.port, SITE.name, ATTACKER, alpn=("h2",)) as client:
                        client.sendall(http2.PREFACE + http2.settings(window=0) + http2.SETTINGS_ACK + b"".join(
                            http2.request(2 * stream + 1, SITE.name, f"/{number}.{stream}") for stream in range(100)))
                        time.sleep(0.3)
                until = time.monotonic() + SECONDS
                while time.monotonic() < until:
                    peak = max(peak, edge.resident())
                    time.sleep(0.05)
                figures += [
                    Figure(f"{what}: taken from the origin in {SECONDS} s", round(origin.sent / 2**20), "MiB"),
                    Figure(f"{what}: CPU of the edge", round(edge.cpu() - cpu, 1), "s"),
                    Figure(f"{what}: RSS of the edge grows by", round((peak - before) / 2**20), "MiB"),
                ]
        finally:
            origin.close()
    return figures
