"""Pings of one edge without a pause, and how long another edge waits for its signatures."""

import threading

from . import flood, keyclient
from .common import EVIL_EDGE, Figure, Site, finish

POINT, TITLE = "13", "ping flood of one edge over 4 connections"
CONNECTIONS, SECONDS, BATCH = 4, 5, 1000
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    batch = b"".join(keyclient.ping(number) for number in range(1, BATCH + 1))
    figures = []
    with lab.keyholder([SITE]) as keyholder:
        for what, in_flight in (("32 in flight", 32), ("one at a time", 1)):
            quiet = finish(lab.keyload(keyholder, 3, in_flight))[-1]
            answers = [keyclient.Answers() for _ in range(CONNECTIONS)]
            streams = [flood.Stream(keyclient.link(lab, keyholder.port, EVIL_EDGE), lambda: batch, counted.feed)
                       for counted in answers]
            thread = threading.Thread(target=flood.run, args=(streams, SECONDS))
            cpu = keyholder.cpu()
            thread.start()
            loud = finish(lab.keyload(keyholder, SECONDS - 1, in_flight))[-1]
            thread.join()
            cpu = keyholder.cpu() - cpu
            pings = sum(counted.counts.get(keyclient.PONG, 0) for counted in answers)
            for stream in streams:
                stream.connection.close()
            figures += [
                Figure(f"{what}: the other's p99 without it", round(quiet["latency_us"]["p99"] / 1000, 1), "ms"),
                Figure(f"{what}: the other's p99 under it", round(loud["latency_us"]["p99"] / 1000, 1), "ms"),
                Figure(f"{what}: the longest under it", round(loud["latency_us"]["max"] / 1000, 1), "ms"),
                Figure(f"{what}: the other's rate without it", round(quiet["done"] / quiet["seconds"]), "/s"),
                Figure(f"{what}: the other's rate under it", round(loud["done"] / loud["seconds"]), "/s"),
                Figure(f"{what}: pings answered", round(pings / SECONDS), "/s"),
                Figure(f"{what}: connections ended of {CONNECTIONS}", sum(s.ended is not None for s in streams)),
            ]
    return figures
