"""Requests of one client for addresses that no other client asks for: what is left of the others' stored responses."""

from . import flood, http2
from .common import ATTACKER, Figure, Site, other_address

POINT, TITLE = "+", "one client asks for 10,000 different addresses, store of 4 MiB"
POPULAR, UNIQUE, AT_ONCE = 300, 10_000, 80
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    with lab.pair([SITE], edge_extra="cache: {memory: 4MiB}\n") as (edge, _):
        popular = [f"/cached/1024?popular={number}" for number in range(POPULAR)]
        for _ in range(4):
            stored(lab, edge, popular)
        before = stored(lab, edge, popular)
        asked = ask(lab, edge)
        return [Figure(f"responses of others stored before it of {POPULAR}", before),
                Figure("addresses asked for", asked),
                Figure(f"responses of others stored after it of {POPULAR}", stored(lab, edge, popular))]


def stored(lab, edge, paths):
    """How many of these are answered from the store; all are asked for, over one connection."""
    hits = 0
    with lab.connect(edge.port, SITE.name, other_address(1), timeout=5) as client:
        rest = b""
        for path in paths:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: {SITE.name}\r\n\r\n".encode())
            while b"\r\n\r\n" not in rest or len(rest.split(b"\r\n\r\n", 1)[1]) < 1024:
                data = client.recv(65536)
                if not data:
                    raise ConnectionError("closed")
                rest += data
            head, rest = rest.split(b"\r\n\r\n", 1)
            rest = rest[1024:]
            hits += b"; hit" in head.lower()
    return hits


def ask(lab, edge):
    frames, asked = http2.Frames(), 0
    client = lab.connect(edge.port, SITE.name, ATTACKER, alpn=("h2",))

    def more():
        nonlocal asked
        if asked == 0:
            start = http2.PREFACE + http2.settings() + http2.SETTINGS_ACK
            start += http2.frame(http2.WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big"))
        else:
            start = b""
        if asked >= UNIQUE or asked - len(frames.ended_streams) >= AT_ONCE:
            return b""
        asked += 1
        return start + http2.request(2 * asked - 1, SITE.name, f"/cached/1024?unique={asked}")

    stream = flood.Stream(client, more, frames.feed)
    flood.run([stream], 30, lambda: len(frames.ended_streams) >= UNIQUE)
    client.close()
    return len(frames.ended_streams)
