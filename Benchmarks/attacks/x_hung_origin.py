"""Requests of one client that the origin never answers: what they leave for the others."""

import selectors
import socket
import threading
import time

from . import http2
from .common import ATTACKER, Figure, Site

POINT, TITLE = "+", "one client's requests that the origin never answers: 60 connections of 100 streams"
CONNECTIONS, STREAMS = 60, 100
SITE, NEIGHBOUR = Site("keyless.attack.test", "keyless"), Site("handoff.attack.test", "handoff")
ANSWER = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok"


class Origin:
    """Answers everything but what is below /hang."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        self.open = self.most = 0
        self.over = False
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.over = True
        self.thread.join(5)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()

    def _run(self):
        while not self.over:
            for key, _ in self.selector.select(0.1):
                if key.fileobj is self.listener:
                    connection, _ = self.listener.accept()
                    self.selector.register(connection, selectors.EVENT_READ)
                    self.open += 1
                    self.most = max(self.most, self.open)
                else:
                    self._answer(key.fileobj)

    def _answer(self, connection):
        try:
            data = connection.recv(65536)
            if data and not data.startswith(b"GET /hang"):
                connection.sendall(ANSWER)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(connection)
            connection.close()
            self.open -= 1


def run(lab):
    origin = Origin()
    clients = []
    try:
        with lab.pair([SITE, NEIGHBOUR], origin_port=origin.port) as (edge, _):
            memory = edge.resident()
            for number in range(CONNECTIONS):
                client = lab.connect(edge.port, SITE.name, ATTACKER, alpn=("h2",))
                clients.append(client)
                client.sendall(http2.PREFACE + http2.settings() + http2.SETTINGS_ACK + b"".join(
                    http2.request(2 * stream + 1, SITE.name, f"/hang/{number}.{stream}") for stream in range(STREAMS)))
            time.sleep(2)
            same, _ = lab.others(edge.port, SITE.name, 20, 1, "/x")
            neighbours, _ = lab.others(edge.port, NEIGHBOUR.name, 20, 1, "/x")
            return [Figure("connections of the edge to the origin, most", origin.most),
                    Figure("RSS of the edge grows by", round((edge.resident() - memory) / 2**20, 1), "MiB"),
                    Figure("others of the same site served of 20", same),
                    Figure("others of another site served of 20", neighbours)]
    finally:
        for client in clients:
            client.close()
        origin.close()
