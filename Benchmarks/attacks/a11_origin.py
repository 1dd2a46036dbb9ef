"""An origin that never comes to its response, or never ends what is around it."""

import socket
import threading
import time

from . import http2
from .common import Figure, Site

POINT, TITLE = "11", "an origin without an end"
INTERIM_BYTES, OTHER_BYTES, LIMIT_SECONDS = 600 << 20, 100 << 20, 20
MOST_GROWTH = 2 << 30  # enough has been shown then
SITE = Site("keyless.attack.test", "keyless")
HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"


class EndlessOrigin:
    """Answers every request with `start` and then `part` over and over, up to so many bytes, with a pause between parts."""

    def __init__(self, start, part, most, pause=0.0):
        self.start, self.part, self.most, self.pause = start, part, most, pause
        self.sent, self.ended = 0, None
        self.began = None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # what is sent has been read, but for a little
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
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                connection.settimeout(LIMIT_SECONDS)
                if not connection.recv(65536):
                    return
                self.began = time.monotonic()
                connection.sendall(self.start)
                left = self.most
                while left > 0:
                    connection.sendall(self.part)
                    left -= len(self.part)
                    self.sent += len(self.part)
                    if self.pause:
                        time.sleep(self.pause)
                self.ended = "all sent"
            except OSError as error:
                self.ended = type(error).__name__
            self.seconds = time.monotonic() - self.began


def run(lab):
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n"
    field = b"X-Filler-%d: " + b"x" * 200 + b"\r\n"
    fields = b"".join(field % number for number in range(256))
    cases = [
        ("1xx, HTTP/1.1, client does not read", b"", hint * 900, INTERIM_BYTES, 1, False),
        ("1xx, HTTP/1.1, client reads", b"", hint * 900, INTERIM_BYTES, 1),
        ("1xx, HTTP/2, client does not read", b"", hint * 900, INTERIM_BYTES, 2, False),
        ("1xx, HTTP/2, client reads", b"", hint * 900, INTERIM_BYTES, 2),
        ("head without an end", HEAD, fields, OTHER_BYTES, 1),
        ("trailers without an end", HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", fields, OTHER_BYTES, 1),
        ("chunk extension without an end", HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536, OTHER_BYTES, 1),
    ]
    figures = []
    for case in cases:
        figures += grow(lab, *case)
    return figures + [slow_hints(lab, hint)]


def grow(lab, what, start, part, most, version, reads=True):
    origin = EndlessOrigin(start, part, most)
    try:
        with lab.pair([SITE], origin_port=origin.port) as (edge, _):
            before = peak = edge.resident()
            client = ask(lab, edge.port, version, reads)
            until = time.monotonic() + LIMIT_SECONDS
            while time.monotonic() < until and origin.ended is None and edge.alive() and peak - before < MOST_GROWTH:
                peak = max(peak, edge.resident())
                time.sleep(0.02)
            time.sleep(0.2)
            peak = max(peak, edge.resident() if edge.alive() else 0)
            client.close()
            return [Figure(f"{what}: RSS of the edge grows by", round((peak - before) / 2**20, 1), "MiB"),
                    Figure(f"{what}: read of {most >> 20} MiB", round(origin.sent / 2**20, 1), "MiB")]
    finally:
        origin.close()


def ask(lab, port, version, reads):
    """Sends one GET. If the client reads, a thread takes whatever comes back until the connection ends."""
    client = lab.connect(port, SITE.name, timeout=LIMIT_SECONDS, alpn=("h2",) if version == 2 else ("http/1.1",))
    if version == 2:
        client.sendall(http2.PREFACE + http2.settings() + http2.SETTINGS_ACK
                       + http2.request(1, SITE.name, "/endless"))
    else:
        client.sendall(f"GET /endless HTTP/1.1\r\nHost: {SITE.name}\r\n\r\n".encode())

    def read():
        try:
            while client.recv(1 << 18):
                pass
        except (OSError, ValueError):
            pass

    if reads:
        threading.Thread(target=read, daemon=True).start()
    return client


def slow_hints(lab, hint):
    """One 1xx a second: does each give the origin its time limit anew?"""
    origin = EndlessOrigin(b"", hint, 12 * len(hint), pause=1)
    try:
        with lab.pair([SITE], origin_port=origin.port, origin_extra="      response: 2s\n") as (edge, _):
            began = time.monotonic()
            status, seconds = lab.fetch(edge.port, SITE.name, "/slow", timeout=15)
            return Figure("a 1xx each second for 12 s, origin's time limit 2 s: the client's answer came after",
                          round(time.monotonic() - began, 1), f"s (status {status})")
    finally:
        origin.close()
