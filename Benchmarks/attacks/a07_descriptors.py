"""Idle connections against the common limit of 1,024 file descriptors."""

import resource
import time

from .common import Figure, Site
from .held import Held

POINT, TITLE = "7", "1,100 idle connections of one address, limit of 1,024 files"
CONNECTIONS, LIMIT, SECONDS = 1100, 1024, 5
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    figures = []
    for what, most in (("soft limit", hard), ("soft and hard limit", LIMIT)):
        def limit(most=most):
            resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, most))

        with lab.pair([SITE], before=limit) as (edge, _):
            lines = edge.log_size()
            with Held(edge.port, CONNECTIONS, again=False) as held:
                held.wait(5)
                began, cpu = time.monotonic(), edge.cpu()
                served, times = lab.others(edge.port, SITE.name, 10, 1, timeout=3)
                time.sleep(max(0, began + SECONDS - time.monotonic()))
                figures += [
                    Figure(f"{what}: others served of 10", served),
                    Figure(f"{what}: CPU of the edge in {SECONDS} s", round(edge.cpu() - cpu, 2), "s"),
                    Figure(f"{what}: log lines", len(edge.log_lines(lines))),
                ]
    return figures
