"""One edge's refused requests, over 24 connections: what they write into the audit file."""

import os
import struct
import time

from . import flood, keyclient
from .common import EVIL_EDGE, Figure, Site

POINT, TITLE = "12", "refused requests of one edge over 24 connections"
CONNECTIONS, SECONDS, BATCH = 24, 4, 16
SITE = Site("keyless.attack.test", "keyless")
OWN = "other.attack.test"  # granted to the attacking edge
LONG = ("x" * 60 + ".") * 4 + "test"


def requests():
    """What is wrong -> a batch of packets."""
    sign = "latchstring.sign-tls13/1"
    return {
        "a site that does not exist": lambda number: keyclient.sign(number, LONG),
        "an old certificate (SKI)": lambda number: keyclient.sign(number, OWN, ski=bytes(20)),
        "a scheme that does not fit": lambda number: keyclient.call(number, sign, OWN, struct.pack("!H", 0x0804) + bytes(32)),
        "an unknown function": lambda number: keyclient.call(number, "latchstring." + "x" * 200 + "/1", OWN),
        "a hello of another name": lambda number: keyclient.call(number, "latchstring.handshake-begin/2", OWN,
                                                                 b"\x01\x08http/1.1" + os.urandom(40)),
    }


def run(lab):
    figures = []
    for what, make in requests().items():
        with lab.keyholder([SITE], audit="audit-refusals.jsonl") as keyholder:
            written, lines, refused = attack(lab, keyholder, make)
        figures += [
            Figure(f"{what}: written to the audit file", round(written / SECONDS / 2**20, 2), "MiB/s"),
            Figure(f"{what}: lines", round(lines / SECONDS), "/s"),
            Figure(f"{what}: refusals", round(refused / SECONDS), "/s"),
        ]
    return figures


def attack(lab, keyholder, make):
    open(keyholder.audit, "a").close()
    batch = b"".join(make(number) for number in range(1, BATCH + 1))
    answers = [keyclient.Answers() for _ in range(CONNECTIONS)]
    streams = [flood.Stream(keyclient.link(lab, keyholder.port, EVIL_EDGE), lambda: batch, counted.feed) for counted in answers]
    before = os.path.getsize(keyholder.audit)
    flood.run(streams, SECONDS)
    for stream in streams:
        stream.connection.close()
    time.sleep(1)  # lines are written by a thread of their own
    with open(keyholder.audit, "rb") as file:
        file.seek(before)
        text = file.read()
    return len(text), text.count(b"\n"), sum(counted.counts.get(keyclient.ERROR, 0) for counted in answers)
