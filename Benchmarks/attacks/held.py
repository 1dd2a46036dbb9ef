"""Keeps a number of connections from one address open, and opens new ones for those that the server ends."""

import select
import threading
import time

from .common import ATTACKER, connect


class Held:
    """`with Held(...)`: a thread holds connections from the attacker's address until the end of the block.

    lab, name: with them every connection has shaken hands and made one request; without them it is TCP alone.
    """

    def __init__(self, port, count, lab=None, name=None, again=True, source=ATTACKER):
        self.port, self.count, self.lab, self.name, self.again, self.source = port, count, lab, name, again, source
        self.opened = 0
        self.open = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(20)
        for connection in self.open.values():
            connection.close()

    def wait(self, seconds):
        """Until all stand, or so long."""
        until = time.monotonic() + seconds
        while len(self.open) < self.count and time.monotonic() < until:
            time.sleep(0.02)

    def _run(self):
        poller = select.poll()
        while not self.over.is_set():
            for descriptor, _ in poller.poll(0):
                self._look(descriptor, poller)
            wanted = self.count - (len(self.open) if self.again else self.opened)
            for _ in range(min(wanted, 50)):
                connection = self._connect()
                if connection:
                    self.open[connection.fileno()] = connection
                    poller.register(connection.fileno(), select.POLLIN)
            if wanted <= 0 or self.opened > 20 * self.count:
                time.sleep(0.01)

    def _look(self, descriptor, poller):
        connection = self.open[descriptor]
        try:
            if connection.recv(65536):
                return
        except TimeoutError:
            return
        except OSError:
            pass
        poller.unregister(descriptor)
        del self.open[descriptor]
        connection.close()

    def _connect(self):
        self.opened += 1
        try:
            if not self.lab:
                connection = connect(self.port, self.source, timeout=2)
            else:
                connection = self.lab.connect(self.port, self.name, self.source, timeout=2)
                connection.sendall(f"GET /1 HTTP/1.1\r\nHost: {self.name}\r\n\r\n".encode())
                connection.recv(4096)
            connection.settimeout(0.001)
            return connection
        except OSError:
            time.sleep(0.005)
            return None
