"""One address holds all connections that the edge takes."""

from .common import Figure, Site
from .held import Held

POINT, TITLE = "9", "one address holds limits.connections (400)"
LIMIT = 400
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    figures = []
    for what, name in (("without a hello", None), ("after a request", SITE.name)):
        with lab.pair([SITE], edge_extra=f"limits: {{connections: {LIMIT}}}\n") as (edge, _):
            with Held(edge.port, LIMIT, lab if name else None, name) as held:
                held.wait(4)
                stand = len(held.open)
                served, _ = lab.others(edge.port, SITE.name, 40, 2, timeout=3)
                figures += [Figure(f"{what}: held of {LIMIT}", stand), Figure(f"{what}: others served of 40", served)]
    return figures
