"""More hellos without a Finished than a key holder can answer, from many addresses; and what another site's clients see."""

import concurrent.futures
import time

from .common import Figure, Site, finish, percentile, share

POINT, TITLE = "10", "hellos without a Finished at 1,600/s from 200 addresses, RSA-2048"
RATE, SECONDS, ADDRESSES = 1600, 7.5, 200
PROBES = 60
OTHER = Site("other.attack.test", "keyless")


def run(lab):
    figures = []
    for name, mode in (("rsa-handoff.attack.test", "handoff"), ("rsa-keyless.attack.test", "keyless")):
        site = Site(name, mode)
        with lab.pair([site, OTHER]) as (edge, keyholder):
            capacity = finish(lab.tool("https", "--port", edge.port, "--name", name, "--seconds", 3, "--requests", 0,
                                       "--connections", 64))[-1]
            log, theirs = edge.log_size(), keyholder.log_size()
            counted, (served, times), (same, _) = attack(lab, edge.port, name, OTHER.name)
            cut = edge.log_lines(log, "key holder is down")
            figures += [
                Figure(f"{mode}: full handshakes before, closed loop", round(capacity["done"] / capacity["seconds"]), "/s"),
                *_answered(mode, counted),
                Figure(f"{mode}: probes of another site served of {PROBES}", served),
                Figure(f"{mode}: their p99", percentile(times, 0.99), "ms"),
                Figure(f"{mode}: full handshakes of the same site served of {PROBES}", same),
                Figure(f"{mode}: links lost, as the edge's log says", len(cut)),
                Figure(f"{mode}: links opened again, as the key holder's log says",
                       len(keyholder.log_lines(theirs, "edge connected"))),
            ]
            if cut:
                figures.append(Figure(f"{mode}: what the edge's log says", _said(cut[0])))
    if lab.nginx_binary:
        with lab.nginx("rsa-keyless.attack.test", http2=False) as nginx:
            counted, _, (same, _) = attack(lab, nginx.port, "rsa-keyless.attack.test", None)
            figures += _answered("nginx", counted)
            figures.append(Figure(f"nginx: full handshakes of the same site served of {PROBES}", same))
    return figures


def attack(lab, port, name, other):
    load = lab.hellos(port, RATE, SECONDS, name=name, **{"from": "127.100.0.1"}, sources=ADDRESSES, patience=10)
    time.sleep(1)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        probes = pool.submit(lab.others, port, other, PROBES, SECONDS - 2) if other else None
        same = pool.submit(lab.others, port, name, PROBES, SECONDS - 2, "/1024", 10)
        results = probes.result() if probes else None, same.result()
    counted, times = finish(load)
    return counted | {"seconds": times["seconds"]}, *results


def _answered(what, counted):
    return [Figure(f"{what}: hellos answered with a handshake", share(counted["handshake"], counted["started"]), "%"),
            Figure(f"{what}: the same, from the first to the last", round(counted["handshake"] / counted["seconds"]), "/s"),
            Figure(f"{what}: with an alert", share(counted["alert"], counted["started"]), "%"),
            Figure(f"{what}: not within 10 s", share(counted["unanswered"], counted["started"]), "%")]


def _said(line):
    """A log line without its time."""
    return line.split(maxsplit=2)[-1].strip()[:160]
