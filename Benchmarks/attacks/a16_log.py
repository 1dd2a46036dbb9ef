"""Refused hellos: what they write into the log, and what happens when nothing reads the log."""

import os

from .common import ATTACKER, Figure, Site, finish

POINT, TITLE = "16", "refused hellos"
RATE, SECONDS = 5000, 4
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    figures = []
    for what, options in (("unknown name", {"name": "nowhere.test"}), ("no hello at all", {"send": "garbage"})):
        with lab.pair([SITE]) as (edge, _):
            lines, cpu = edge.log_size(), edge.cpu()
            attack = lab.hellos(edge.port, RATE, SECONDS, **{"from": ATTACKER}, patience=3, **options)
            served, _ = lab.others(edge.port, SITE.name, 20, SECONDS - 1)
            counted = finish(attack)[0]
            written = edge.log_size() - lines
            figures += [
                Figure(f"{what}: hellos", round(counted["started"] / SECONDS), "/s"),
                Figure(f"{what}: log lines", round(len(edge.log_lines(lines)) / SECONDS), "/s"),
                Figure(f"{what}: log bytes", round(written / SECONDS / 1024), "KiB/s"),
                Figure(f"{what}: CPU of the edge", round((edge.cpu() - cpu) / SECONDS * 100), "%"),
                Figure(f"{what}: others served of 20", served),
            ]
    return figures + unread(lab)


def unread(lab):
    """Standard error is a pipe that nothing reads."""
    figures = []
    for what in ("edge", "key holder"):
        reader, writer = os.pipe()
        options = {"stderr": writer} if what == "edge" else {"keyholder_options": {"stderr": writer}}
        try:
            with lab.pair([SITE], **options) as (edge, keyholder):
                port = edge.port if what == "edge" else keyholder.port
                send = "hello" if what == "edge" else "garbage"
                finish(lab.hellos(port, 1000, 6, name="nowhere.test", send=send, **{"from": ATTACKER}, patience=2))
                served, _ = lab.others(edge.port, SITE.name, 10, 1, timeout=3)
                figures.append(Figure(f"{what}'s log to a pipe that is not read, 6,000 refusals: others served of 10", served))
        finally:
            os.close(writer)
            os.close(reader)
    return figures
