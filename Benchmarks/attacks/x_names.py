"""Hellos for many names of a relay site that DNS does not answer for: what other relayed clients notice."""

import concurrent.futures
import os
import shutil
import socket
import ssl
import struct
import threading
import time

from .common import ATTACKER, Figure, connect, connects, free_port, other_address

POINT, TITLE = "+", "relay by DNS: 200 hellos/s for names that DNS does not answer for"
SECONDS, RATE, OTHERS = 10, 200, 30
ZONE = "relay.attack.test"
CONTEXT = ssl.create_default_context()
RESOLVER = "127.0.0.53"  # of this attack's own mount namespace, where resolv.conf names it


class Names(threading.Thread):
    """A DNS server that answers for `goodN` and lets `hangN` wait."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((RESOLVER, 53))
        self.asked = {"good": 0, "hang": 0}

    def run(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(2048)
            except OSError:
                return
            label = query[13:13 + query[12]].decode("latin1")
            end = query.index(b"\0", 12) + 5
            kind = struct.unpack("!H", query[end - 4:end - 2])[0]
            self.asked[label[:4]] = self.asked.get(label[:4], 0) + 1
            if not label.startswith("good"):
                continue
            answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + bytes([127, 0, 0, 1]) if kind == 1 else b""
            self.socket.sendto(query[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(answer), 0, 0) + query[12:end] + answer, peer)


def run(lab):
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return [Figure("not measured: needs root and unshare, for a resolv.conf of its own", None)]
    names = Names()
    names.start()
    port, admin = free_port(), free_port()
    resolv = lab.write("resolv.conf", f"nameserver {RESOLVER}\noptions timeout:5 attempts:2\n")
    configuration = lab.write("relay.yaml", (
        f"role: edge\nlisten: [127.0.0.1:{port}]\nadmin: 127.0.0.1:{admin}\n"
        f"sites:\n  - domains: [\"*.{ZONE}\"]\n    mode: relay\n"
        f"    origin: {{resolve: true, allow-private: true, ports: [{lab.raw_port}]}}\nlog: {{level: info, format: text}}\n"))
    mounted = f"mount --bind '{resolv}' /etc/resolv.conf && exec \"$0\" \"$@\""
    edge = lab.start("relay", ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, lab.binary, "edge",
                               "--config", configuration], lab.server_core)
    try:
        edge.wait_for(lambda: connects(port))
        before = served(port, 5, 1)
        attack = threading.Thread(target=send_hellos, args=(port,))
        attack.start()
        time.sleep(2)
        under = served(port, OTHERS, SECONDS - 4)
        attack.join()
        return [Figure("relayed clients served before it, of 5", before),
                Figure(f"relayed clients served under it of {OTHERS}", under),
                Figure("questions that DNS got for the others", names.asked["good"])]
    finally:
        edge.stop()
        names.socket.close()


def hello(name):
    """A ClientHello as it goes over the wire."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        CONTEXT.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def send_hellos(port):
    """One name after the other; each connection stays until the end."""
    began, open_now = time.monotonic(), []
    for number in range(RATE * SECONDS):
        time.sleep(max(0, began + number / RATE - time.monotonic()))
        try:
            client = connect(port, ATTACKER, timeout=1)
            open_now.append(client)
            client.sendall(hello(f"hang{number}.{ZONE}"))
        except OSError:
            continue
    for client in open_now:
        client.close()


def served(port, count, seconds):
    """Relayed clients that come evenly over some seconds, with a name and an address each. Returns how many were answered."""
    began = time.monotonic()

    def one(number):
        time.sleep(max(0, began + number * seconds / count - time.monotonic()))
        try:
            with connect(port, other_address(number), timeout=5) as client:
                client.sendall(hello(f"good{began:.0f}{number}.{ZONE}") + struct.pack("!QB", 100, 1))
                received = b""
                while len(received) < 100 and (data := client.recv(4096)):
                    received += data
                return len(received) == 100
        except OSError:
            return False

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return sum(pool.map(one, range(count)))
