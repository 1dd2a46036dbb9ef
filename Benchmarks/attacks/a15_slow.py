"""Clients that read or send so slowly that they hold a response or a request for ever, and slow ones that mean well."""

import concurrent.futures
import os
import socket
import threading
import time

from . import http2
from .common import Figure, Site

POINT, TITLE = "15", "slow clients"
SECONDS = 100
BODY = 64 << 20
OTHER = "other.attack.test"
SITES = [Site("keyless.attack.test", "keyless"), Site("handoff.attack.test", "handoff")]


def run(lab):
    sink = Sink()
    try:
        with lab.pair(SITES) as (edge, _), lab.pair([Site(OTHER, "keyless")], origin_port=sink.port) as (posts, _):
            plain, cached = f"/{BODY}", f"/cached/{BODY // 2}"
            keyless, handoff = (site.name for site in SITES)
            cases = [
                ("HTTP/1.1, keyless, reads 1 kB/s", read, edge.port, keyless, plain, 1000),
                ("HTTP/1.1, keyless, stored, reads 1 kB/s", read, edge.port, keyless, cached, 1000),
                ("HTTP/1.1, keyless, reads 3 kB/s", read, edge.port, keyless, plain, 3000),
                ("HTTP/1.1, handoff, reads 3 kB/s", read, edge.port, handoff, plain, 3000),
                ("HTTP/2, keyless, credit of 1 kB/s", read_by_credit, edge.port, keyless, plain, 1000),
                ("HTTP/2, keyless, stored, credit of 1 kB/s", read_by_credit, edge.port, keyless, cached, 1000),
                ("HTTP/2, keyless, credit of 3 kB/s", read_by_credit, edge.port, keyless, plain, 3000),
                ("HTTP/2, handoff, credit of 1 kB/s", read_by_credit, edge.port, handoff, plain, 1000),
                ("HTTP/1.1, posts 70 B/s", post, posts.port, OTHER, False, 70),
                ("HTTP/2, posts 70 B/s", post, posts.port, OTHER, True, 70),
                ("HTTP/1.1, reads 20 kB/s (should go on)", read, edge.port, keyless, plain, 20_000),
                ("HTTP/2, credit of 20 kB/s (should go on)", read_by_credit, edge.port, keyless, plain, 20_000),
                ("HTTP/1.1, posts 20 kB/s (should go on)", post, posts.port, OTHER, False, 20_000),
            ]
            with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
                held = pool.map(lambda case: case[1](lab, *case[2:]), cases)
                return [Figure(f"{case[0]}: ended", f"after {seconds:.0f} s" if seconds is not None else f"no, in {SECONDS} s")
                        for case, seconds in zip(cases, held)]
    finally:
        sink.close()


def read(lab, port, name, path, rate):
    """Asks for a large body and reads it at this rate. Returns the seconds until the edge ended it, or None."""
    # Segments as on Ethernet: with those of loopback the edge's send buffer would take megabytes.
    client = lab.connect(port, name, timeout=10, receive_buffer=4096, segment=1400)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    # Below TLS: what counts is how fast bytes are taken, and nothing of them is looked at.
    return paced(client, rate, take, port)


def read_by_credit(lab, port, name, path, rate):
    """The same over HTTP/2, reading all that comes, where no more comes than there is credit for (RFC 9113, 5.2)."""
    client = lab.connect(port, name, timeout=10, alpn=("h2",), segment=1400)
    client.sendall(http2.PREFACE + http2.settings(window=rate) + http2.SETTINGS_ACK
                   + http2.frame(http2.WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")) + http2.request(1, name, path))
    client.settimeout(0.001)
    frames = http2.Frames()

    def give_credit(_, count):
        client.sendall(http2.frame(http2.WINDOW_UPDATE, 0, 1, count.to_bytes(4, "big")))
        try:
            data = client.recv(1 << 18)
        except TimeoutError:
            return True
        frames.feed(data)
        return bool(data) and not frames.ended_streams and frames.goaway is None

    return paced(client, rate, give_credit, port)


def take(plain, count):
    try:
        return bool(os.read(plain, count))
    except BlockingIOError:
        return True


def post(lab, port, name, second, rate):
    """Sends a body of 64 MiB at this rate. Returns the seconds until the edge ended it, or None."""
    client = lab.connect(port, name, timeout=10, alpn=("h2",) if second else ("http/1.1",))
    frames = http2.Frames()
    if second:
        client.sendall(http2.PREFACE + http2.settings() + http2.SETTINGS_ACK
                       + http2.request(1, name, "/post", "POST", end=False))
    else:
        client.sendall(f"POST /post HTTP/1.1\r\nHost: {name}\r\nContent-Length: {BODY}\r\n\r\n".encode())
    client.settimeout(0.001)

    def send(_, count):
        client.sendall(http2.frame(http2.DATA, 0, 1, b"x" * count) if second else b"x" * count)
        try:
            data = client.recv(65536)
        except TimeoutError:
            return True
        frames.feed(data if second else b"")
        return bool(data) and second and not frames.ended_streams and frames.goaway is None

    return paced(client, rate, send, port)


def paced(client, rate, act, port):
    began = time.monotonic()
    step = 1.0 if rate < 10_000 else 0.1
    ours = client.getsockname()[1]
    try:
        with client:
            while time.monotonic() - began < SECONDS:
                if not act(client.fileno(), max(1, int(rate * step))) or not held(port, ours):
                    return time.monotonic() - began
                time.sleep(step)
        return None
    except OSError:
        return time.monotonic() - began


def held(port, client_port):
    """Whether the server has not closed its side: a client that reads slowly would hear of that much later."""
    local, remote = f":{port:04X}", f":{client_port:04X}"
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(local) and fields[2].endswith(remote):
                return fields[3] in ("01", "08")  # ESTABLISHED, CLOSE_WAIT
    return False


class Sink:
    """An origin that reads what it is sent and never answers."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        with connection:
            try:
                while connection.recv(65536):
                    pass
            except OSError:
                pass
