"""What a TCP connection costs before its peer has shown who it is."""

import time

from .common import ATTACKER, Figure, Site, finish

POINT, TITLE = "14", "connections that say nothing, or no more than a hello"
RATE, SECONDS = 2000, 4
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    figures = []
    with lab.pair([SITE]) as (edge, keyholder):
        for server, send, what in (
            (keyholder, "nothing", "key holder: CPU for an empty connection"),
            (keyholder, "hello", "key holder: CPU for a connection with a ClientHello"),
            (edge, "nothing", "edge: CPU for an empty connection"),
            (edge, "hello", "edge: CPU for a connection with a ClientHello of no site"),
        ):
            idle = server.cpu()
            attack = lab.hellos(server.port, RATE, SECONDS, send=send, name="nowhere.test", **{"from": ATTACKER}, patience=2)
            counted = finish(attack)[0]
            started = counted["started"] - counted["failed"] - counted["over"]
            figures.append(Figure(what, round((server.cpu() - idle) * 1e6 / max(1, started)), "µs"))
        quiet = finish(lab.keyload(keyholder, 2, 4))[-1]
        attack = lab.hellos(keyholder.port, RATE, SECONDS, name="nowhere.test", **{"from": ATTACKER}, patience=2)
        time.sleep(0.5)
        loud = finish(lab.keyload(keyholder, SECONDS - 1, 4))[-1]
        finish(attack)
        figures += [
            Figure(f"{what} {RATE:,} ClientHellos/s at the key holder", round(found["latency_us"]["p99"] / 1000, 1), "ms")
            for what, found in (("an edge's p99 without", quiet), ("an edge's p99 under", loud))
        ]
    return figures
