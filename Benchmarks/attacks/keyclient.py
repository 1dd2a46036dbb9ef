"""An edge's end of the key protocol (docs/key-protocol.md): what an attacker has who took an edge over."""

import socket
import ssl
import struct

SERVER_NAME, CLIENT, SKI, OPCODE, PAYLOAD, FUNCTION, PADDING = 0x02, 0x03, 0x04, 0x11, 0x12, 0x13, 0x20
CALL, PING, PONG, SUCCESS, ERROR = 0x24, 0xF1, 0xF2, 0xF0, 0xFF
HEADER_BYTES = 8


def packet(number, items, padded=0):
    """items: (tag, value) each. Padded to so many bytes, if that is more."""
    body = b"".join(struct.pack("!BH", tag, len(value)) + value for tag, value in items)
    missing = padded - HEADER_BYTES - len(body) - 3
    if missing >= 0:
        body += struct.pack("!BH", PADDING, missing) + bytes(missing)
    return struct.pack("!BBHI", 1, 0, len(body), number) + body


def call(number, function, name, payload=b"", ski=None, padded=0):
    items = [(OPCODE, bytes([CALL])), (FUNCTION, function.encode()), (SERVER_NAME, name.encode()),
             (CLIENT, bytes([192, 0, 2, 1]))]
    if ski:
        items.append((SKI, ski))
    if payload:
        items.append((PAYLOAD, payload))
    return packet(number, items, padded)


def sign(number, name, ski=None):
    """A TLS 1.3 signature with P-256 over a hash of the number."""
    return call(number, "latchstring.sign-tls13/1", name, struct.pack("!H", 0x0403) + number.to_bytes(32, "big"), ski)


def ping(number):
    return packet(number, [(OPCODE, bytes([PING]))])


class Answers:
    """Takes packets out of a stream and counts them by opcode, without keeping them."""

    def __init__(self):
        self.rest = b""
        self.counts = {}

    def feed(self, data):
        """Returns the opcodes of the packets that are whole now."""
        data = self.rest + data
        at, opcodes = 0, []
        while len(data) - at >= HEADER_BYTES:
            length = data[at + 2] << 8 | data[at + 3]
            if len(data) - at < HEADER_BYTES + length:
                break
            opcodes.append(_opcode(data, at + HEADER_BYTES, length))
            at += HEADER_BYTES + length
        self.rest = data[at:]
        for opcode in opcodes:
            self.counts[opcode] = self.counts.get(opcode, 0) + 1
        return opcodes


def _opcode(data, at, length):
    end = at + length
    while at + 3 <= end:
        size = data[at + 1] << 8 | data[at + 2]
        if data[at] == OPCODE:
            return data[at + 3]
        at += 3 + size
    return None


def link(lab, port, edge):
    """A mutual TLS connection of this edge to the key holder, without blocking."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(lab.path("authority.pem"))
    context.load_cert_chain(lab.path(f"edge-{edge}.pem"), lab.path(f"edge-{edge}.key"))
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    secured = context.wrap_socket(plain)
    secured.setblocking(False)
    return secured
