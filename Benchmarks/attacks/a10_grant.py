"""Hellos or handshakes of one address use up what a site's grant allows."""

import time

from .common import ATTACKER, Figure, Site, finish, percentile

POINT, TITLE = "10", "bare hellos of one address at 2,000/s, or full handshakes on 64 connections, grant of 200/s"
RATE, GRANT, SECONDS, OTHERS = 2000, 200, 6, 80


def run(lab):
    figures = []
    for site in (Site("keyless.attack.test", "keyless", GRANT), Site("handoff.attack.test", "handoff", GRANT)):
        for what, finished in (("bare hellos", False), ("full handshakes", True)):
            with lab.pair([site]) as (edge, _):
                time.sleep(1)
                if finished:
                    load = lab.tool("https", "--port", edge.port, "--name", site.name, "--seconds", SECONDS, "--requests", 0,
                                    "--connections", 64, "--sources", 1)
                else:
                    load = lab.hellos(edge.port, RATE, SECONDS, name=site.name, **{"from": ATTACKER}, patience=5)
                time.sleep(1)
                served, times = lab.others(edge.port, site.name, OTHERS, SECONDS - 2)
                counted = finish(load)[0]
                figures += [
                    Figure(f"{site.mode}, {what}: others served of {OTHERS}", served),
                    Figure(f"{site.mode}, {what}: their median", percentile(times, 0.5), "ms"),
                    Figure(f"{site.mode}, {what}: the attacker's that were answered",
                           round(counted["done" if finished else "handshake"] / SECONDS), "/s"),
                ]
    return figures
