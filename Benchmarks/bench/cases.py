"""What is measured: for each case its contenders, the rows of its table and the goals of the design, section 8."""

from . import certificates, loads, opensslspeed
from .measure import Case, Contender, Goal, Row, under_load

MEBIBYTE = 1 << 20

NAMES = ("handshake-p256", "handshake-rsa", "connection-p256", "connection-rsa", "request", "body", "relay-bulk",
         "relay-connection", "keys-p256", "keys-rsa")

_KEY_NAMES = {"p256": "P-256", "rsa-2048": "RSA-2048"}
_SHORT = {"p256": "p256", "rsa-2048": "rsa"}

# (edge alone, edge and key holder together) at most, as multiples of nginx.
_CONNECTION_GOALS = {"p256": (0.75, 1.2), "rsa-2048": (0.5, None)}
# Signatures over the wire, at least, as a share of `openssl speed`.
_KEY_GOALS = {"p256": 0.6, "rsa-2048": 0.9}

NGINX = "nginx, key on disk"
NGINX_FILE = "nginx, key on disk, serves the KiB itself"
EDGE = "latchstring edge, keyless"
TOGETHER = "latchstring edge and key holder"
RELAY = "latchstring edge, relay"


class Bench:
    """The running servers and the tools: everything that cases are made from."""

    def __init__(self, tools, load_core, server_core, openssl, nginx, haproxy, haproxy_big, latchstring):
        self.tools, self.load_core, self.server_core, self.openssl = tools, load_core, server_core, openssl
        self.nginx, self.haproxy, self.haproxy_big, self.latchstring = nginx, haproxy, haproxy_big, latchstring

    def load(self, *command):
        return lambda seconds: loads.run(command, self.load_core, seconds)

    def case(self, name):
        """One of NAMES."""
        makers = {"request": self.requests, "body": self.bodies, "relay-bulk": self.relayed_bulk,
                  "relay-connection": self.relayed_connections}
        if name in makers:
            return makers[name]()
        kind, _, short = name.partition("-")
        key_type = next(key_type for key_type, known in _SHORT.items() if known == short)
        makers = {"handshake": self.handshakes, "connection": self.connections, "keys": self.key_operations}
        return makers[kind](key_type)

    # Keyless against nginx with the key on disk

    def _https(self, port, key_type, *options):
        return self.load(self.tools["https"], "--port", port, "--name", certificates.SITES[key_type], *options)

    def _keyless_contenders(self, key_type, options, nginx_file=None, work=lambda report: report["done"]):
        ours = {"edge": self.latchstring.edge, "key holder": self.latchstring.keyholder}
        nginx = {"nginx": self.nginx.server}
        port = self.nginx.sites[key_type]
        contenders = [Contender(NGINX, under_load(self._https(port, key_type, *options), nginx, work))]
        rows = [Row(NGINX, NGINX)]
        if nginx_file:
            contenders.append(Contender(NGINX_FILE, under_load(self._https(port, key_type, *nginx_file), nginx, work)))
            rows.append(Row(NGINX_FILE, NGINX_FILE))
        contenders.append(Contender(
            EDGE, under_load(self._https(self.latchstring.port, key_type, *options), ours, work)))
        rows += [Row(EDGE, EDGE, ("edge",)), Row(TOGETHER, EDGE)]
        return contenders, rows

    def handshakes(self, key_type):
        contenders, rows = self._keyless_contenders(key_type, ("--requests", 0))
        return Case(f"handshake-{_SHORT[key_type]}", f"Full TLS 1.3 handshake, {_KEY_NAMES[key_type]}", "handshake",
                    contenders, rows, NGINX)

    def connections(self, key_type):
        contenders, rows = self._keyless_contenders(
            key_type, ("--requests", 1, "--path", "/1024", "--body", 1024),
            nginx_file=("--requests", 1, "--path", "/file/1024", "--body", 1024))
        alone, together = _CONNECTION_GOALS[key_type]
        goals = [Goal(EDGE, (NGINX,), alone)] + ([Goal(TOGETHER, (NGINX,), together)] if together else [])
        return Case(f"connection-{_SHORT[key_type]}",
                    f"New connection: full TLS 1.3 handshake, one GET of 1 KiB from the origin, {_KEY_NAMES[key_type]}",
                    "connection", contenders, rows, NGINX, goals)

    def requests(self):
        contenders, rows = self._keyless_contenders(
            "p256", ("--requests", 10**9, "--path", "/1024", "--body", 1024))
        return Case("request", "GET of 1 KiB from the origin on a kept connection", "request", contenders, rows, NGINX)

    def bodies(self):
        contenders, rows = self._keyless_contenders(
            "p256", ("--requests", 10**9, "--path", f"/{MEBIBYTE}", "--body", MEBIBYTE, "--connections", 8))
        return Case("body", "MiB from the origin on a kept connection, in bodies of 1 MiB", "MiB", contenders, rows,
                    NGINX)

    # Relay against nginx stream and HAProxy in TCP mode

    def _relay_contenders(self, variants, options, work):
        contenders = []
        for label, peer, variant in variants:
            load = self.load(self.tools["relay"], "--port", peer.relays[variant], "--name", certificates.RELAY_NAME,
                             *options)
            contenders.append(Contender(label, under_load(load, {"relay": peer.server}, work)))
        load = self.load(self.tools["relay"], "--port", self.latchstring.port, "--name", certificates.RELAY_NAME,
                         *options)
        contenders.append(Contender(RELAY, under_load(load, {"edge": self.latchstring.edge}, work)))
        return contenders, [Row(contender.name, contender.name) for contender in contenders]

    def relayed_bulk(self):
        variants = [("nginx stream", self.nginx, "plain"), ("nginx stream, 256 KiB buffers", self.nginx, "256k"),
                    ("HAProxy tcp", self.haproxy, "plain"), ("HAProxy tcp, splice", self.haproxy, "splice"),
                    ("HAProxy tcp, 256 KiB buffers", self.haproxy_big, "plain")]
        contenders, rows = self._relay_contenders(
            variants, ("--bytes", 16 * MEBIBYTE, "--kept", "--connections", 8),
            lambda report: report["bytes"] / MEBIBYTE)
        best = tuple(label for label, _, _ in variants)
        return Case("relay-bulk", "Relayed MiB, 8 connections", "MiB", contenders, rows, "nginx stream",
                    [Goal(RELAY, best, 0.7)])

    def relayed_connections(self):
        variants = [("nginx stream, by server name", self.nginx, "by name"),
                    ("HAProxy tcp, by server name", self.haproxy, "by name"),
                    ("nginx stream, fixed target", self.nginx, "plain"),
                    ("HAProxy tcp, fixed target", self.haproxy, "plain")]
        contenders, rows = self._relay_contenders(variants, ("--bytes", 1024), lambda report: report["done"])
        return Case("relay-connection", "Relayed new connection: ClientHello, 1 KiB back, closed by the origin",
                    "connection", contenders, rows, "nginx stream, by server name")

    # Key operations over the wire against the library alone

    def key_operations(self, key_type):
        label, ours = "openssl speed, no wire", "latchstring key holder, over mutual TLS"
        load = self.load(
            self.tools["keyload"], "--port", self.latchstring.keyholder_port, "--certificates",
            self.latchstring.certificates, "--edge", certificates.EDGE, "--keyholder", certificates.KEYHOLDER,
            "--name", certificates.SITES[key_type])
        contenders = [
            Contender(label, opensslspeed.signing(self.openssl, key_type, self.server_core)),
            Contender(ours, under_load(load, {"key holder": self.latchstring.keyholder},
                                       lambda report: report["done"])),
        ]
        return Case(f"keys-{_SHORT[key_type]}", f"Signatures with a {_KEY_NAMES[key_type]} key at the key holder",
                    "signature", contenders, [Row(label, label), Row(ours, ours)], label,
                    [Goal(ours, (label,), 1 / _KEY_GOALS[key_type])])
