"""Writes as fast as a peer takes it, on many TLS connections in one thread, and takes what comes meanwhile."""

import ssl
import time


class Stream:
    """One connection of a flood. `more` gives the next bytes to send, or b"" if there are none for now.

    writes_on: the peer's close_notify or FIN does not end it, only that nothing can be sent any more.
    """

    def __init__(self, connection, more, received=None, writes_on=False):
        connection.setblocking(False)
        self.connection, self.more, self.received, self.writes_on = connection, more, received, writes_on
        self.heard_all = False  # the peer says no more
        self.waiting = b""
        self.sent = 0       # bytes that TLS has taken
        self.ended = None   # how it ended
        self.ended_at = None

    def turn(self, budget=1 << 20):
        """Reads what is there, writes what fits. Returns whether anything moved."""
        moved = False
        try:
            while not self.heard_all:
                data = self.connection.recv(1 << 18)
                if not data:
                    self.heard_all = True
                    if not self.writes_on:
                        return self._end("closed")
                    break
                moved = True
                if self.received:
                    self.received(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            return self._end(type(error).__name__)
        try:
            while budget > 0:
                if not self.waiting:
                    self.waiting = self.more()
                if not self.waiting:
                    break
                count = self.connection.send(self.waiting)
                self.sent += count
                budget -= count
                self.waiting = self.waiting[count:]
                moved = True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            return self._end(type(error).__name__)
        return moved

    def _end(self, how):
        self.ended, self.ended_at = how, time.monotonic()
        self.connection.close()
        return False


def run(streams, seconds, until=lambda: False):
    """Drives all streams until they have ended, the time is up, or there is enough. Returns the seconds it took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds and not until():
        alive = [stream for stream in streams if stream.ended is None]
        if not alive:
            break
        if not sum(stream.turn() for stream in alive):
            time.sleep(0.0005)
    return time.monotonic() - began
