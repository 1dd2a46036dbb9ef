"""Bare native hellos of one address."""

import time

from .common import ATTACKER, Figure, Site, finish

POINT, TITLE = "10", "bare native hellos of one address at 1,000/s, grant of 200/s"
RATE, GRANT, SECONDS, OTHERS = 1000, 200, 7, 40
SITE = Site("keyless.attack.test", "keyless", GRANT)


def run(lab):
    with lab.pair([SITE], native=True) as (edge, keyholder):
        before = lab.native_others(edge.port, SITE.name, 5, 1)
        cpu = keyholder.cpu()
        attack = lab.hellos(edge.port, RATE, SECONDS, send="native", name=SITE.name, **{"from": ATTACKER}, patience=5)
        time.sleep(1)
        native = lab.native_others(edge.port, SITE.name, OTHERS, SECONDS - 3)
        web, _ = lab.others(edge.port, SITE.name, 20, 1)
        counted = finish(attack)[0]
        return [
            Figure("native clients served before it, of 5", before),
            Figure(f"native clients of another address served of {OTHERS}", native),
            Figure("TLS clients of other addresses served of 20", web),
            Figure(f"hellos answered with a handshake of {counted['started']}", counted["handshake"]),
            Figure("CPU of the key holder", round((keyholder.cpu() - cpu) / SECONDS * 100), "%"),
        ]
