"""Requests of one edge that no rate holds up: how long another edge waits for its signatures, and what the audit file takes."""

import os
import threading
import time

from . import flood, keyclient
from .common import EVIL_EDGE, Figure, Site, finish

POINT, TITLE = "+", "requests of one edge without a pause, over 4 connections"
CONNECTIONS, SECONDS, BATCH = 4, 5, 64
SITE = Site("keyless.attack.test", "keyless")
OWN = "other.attack.test"  # granted to the attacking edge, with the rate below
RATE = 100


def requests():
    """What is asked -> one packet. Two revisions of a function stand here: a key holder knows one of them."""
    return {
        "signatures over the grant's rate": lambda number: keyclient.sign(number, OWN),
        "chains (certificate/1)": lambda number: keyclient.call(number, "latchstring.certificate/1", OWN),
        "chains (certificate/2)": lambda number: keyclient.call(number, "latchstring.certificate/2", OWN),
        "signatures for an old certificate": lambda number: keyclient.sign(number, OWN, ski=bytes(20)),
        "handshakes of a hello that is none": lambda number: keyclient.call(
            number, "latchstring.handshake-begin/2", OWN, b"\x01\x08http/1.1\x16\x03\x01\x00\x04\x01\x00\x00\x00"),
    }


def run(lab):
    figures = []
    for what, make in requests().items():
        with lab.keyholder([SITE], audit="audit-requests.jsonl", evil_rate=RATE) as keyholder:
            open(keyholder.audit, "a").close()
            quiet = finish(lab.keyload(keyholder, 2, 8))[-1]
            time.sleep(0.5)
            batch = b"".join(make(number) for number in range(1, BATCH + 1))
            answers = [keyclient.Answers() for _ in range(CONNECTIONS)]
            streams = [flood.Stream(keyclient.link(lab, keyholder.port, EVIL_EDGE), lambda: batch, counted.feed)
                       for counted in answers]
            before = os.path.getsize(keyholder.audit)
            thread = threading.Thread(target=flood.run, args=(streams, SECONDS))
            thread.start()
            loud = finish(lab.keyload(keyholder, SECONDS - 1, 8))[-1]
            thread.join()
            for stream in streams:
                stream.connection.close()
            time.sleep(1)
            with open(keyholder.audit, "rb") as file:
                file.seek(before)
                written = sum(len(line) for line in file if f'"edge":"{EVIL_EDGE}"'.encode() in line)
            counts = {opcode: sum(counted.counts.get(opcode, 0) for counted in answers)
                      for opcode in (keyclient.SUCCESS, keyclient.ERROR)}
            figures += [
                Figure(f"{what}: answered well", round(counts[keyclient.SUCCESS] / SECONDS), "/s"),
                Figure(f"{what}: refused", round(counts[keyclient.ERROR] / SECONDS), "/s"),
                Figure(f"{what}: the other edge's p99 without it", round(quiet["latency_us"]["p99"] / 1000, 1), "ms"),
                Figure(f"{what}: the other edge's p99 under it", round(loud["latency_us"]["p99"] / 1000, 1), "ms"),
                Figure(f"{what}: the other edge's rate, of what it was", round(100 * loud["done"] / loud["seconds"] /
                                                                           (quiet["done"] / quiet["seconds"])), "%"),
                Figure(f"{what}: its audit lines", round(written / SECONDS / 2**20, 2), "MiB/s"),
            ]
    return figures
