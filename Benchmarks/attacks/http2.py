"""HTTP/2 frames as raw bytes (RFC 9113), and a client that says what it is told to."""

import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, UNKNOWN = 0, 1, 2, 3, 4, 6, 7, 8, 0xFA
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def request(stream, authority, path, method="GET", end=True):
    """HEADERS with the fields in HPACK (RFC 7541), none of them indexed by the sender."""
    block = bytes([0x82 if method == "GET" else 0x83, 0x87]) + _literal(0x01, authority) + _literal(0x04, path)
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def _literal(index, text):
    data = text.encode()
    return bytes([index, len(data)]) + data  # below 127 bytes


def reset(stream, code=8):
    return frame(RST_STREAM, 0, stream, struct.pack("!I", code))


def ping(number=0):
    return frame(PING, 0, 0, number.to_bytes(8, "big"))


def settings(**values):
    """window: initial window size of streams."""
    payload = struct.pack("!HI", 4, values["window"]) if "window" in values else b""
    return frame(SETTINGS, 0, 0, payload)


SETTINGS_ACK = frame(SETTINGS, ACK)


class Frames:
    """Takes frames out of a stream. Counts them by type and remembers what matters to an attack."""

    def __init__(self):
        self.rest = b""
        self.counts = {}
        self.goaway = None      # its error code
        self.pongs = set()
        self.ended_streams = set()

    def feed(self, data):
        data = self.rest + data
        at = 0
        while len(data) - at >= HEADER_BYTES:
            length = int.from_bytes(data[at:at + 3], "big")
            if len(data) - at < HEADER_BYTES + length:
                break
            self._take(data[at + 3], data[at + 4], int.from_bytes(data[at + 5:at + 9], "big"),
                       data[at + HEADER_BYTES:at + HEADER_BYTES + length])
            at += HEADER_BYTES + length
        self.rest = data[at:]

    def _take(self, kind, flags, stream, payload):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == GOAWAY and self.goaway is None:
            self.goaway = int.from_bytes(payload[4:8], "big")
        if kind == PING and flags & ACK:
            self.pongs.add(int.from_bytes(payload, "big"))
        if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self.ended_streams.add(stream)
