"""What is measured: for each case its contenders, the rows of its table and the goals of the design, section 8."""

import os

from . import certificates, loads, opensslspeed
from .measure import Case, Contender, Goal, Row, under_load

MEBIBYTE = 1 << 20

NAMES = ("handshake-p256", "handshake-rsa", "connection-p256", "connection-rsa", "request", "body", "cached-1k",
         "cached-100k", "cached-1m", "http2-1k", "http2-100k", "http2-1m", "latency-handshake", "latency-resumed",
         "latency-tls12", "native-p256", "native-rsa", "native-body", "relay-bulk", "relay-connection", "keys-p256", "keys-rsa")

_KEY_NAMES = {"p256": "P-256", "rsa-2048": "RSA-2048"}
_SHORT = {"p256": "p256", "rsa-2048": "rsa"}

# At most, as multiples of nginx: the edge, and edge and key holder together.
_CONNECTION_GOALS = {"p256": {"keyless": (0.75, 1.0), "handoff": (0.6, 1.2)},
                     "rsa-2048": {"keyless": (0.4, None), "handoff": (0.3, None)}}
# Native connections, as multiples of keyless ones: edge and key holder together, at most.
_NATIVE_GOAL = 2.0
# Cached responses over HTTP/1.1 and HTTP/2: bytes, and at most which multiple of nginx.
_CACHED = {"1k": (1024, 0.9), "100k": (102400, None), "1m": (MEBIBYTE, 0.5)}
_HTTP2_GOAL = {"1k": 1.0}
_STREAMS = 16
# One way, between edge and key holder, in the latency cases.
DELAY_MILLISECONDS = 20
# Signatures over the wire, at least, as a share of `openssl speed`.
_KEY_GOALS = {"p256": 0.7, "rsa-2048": 0.9}

NGINX = "nginx, key on disk"
NGINX_FILE = "nginx, key on disk, serves the KiB itself"
VARNISH = "Varnish behind Hitch"
KEYLESS = "latchstring edge, keyless"
KEYLESS_TOGETHER = "the same and key holder, keyless"
HANDOFF = "latchstring edge, handoff"
HANDOFF_TOGETHER = "the same and key holder, handoff"
# mode -> (the edge's row, the row of both, the names of its sites)
MODES = {"keyless": (KEYLESS, KEYLESS_TOGETHER, certificates.SITES),
         "handoff": (HANDOFF, HANDOFF_TOGETHER, certificates.HANDOFF_SITES)}
RELAY = "latchstring edge, relay"
FLOOR = "swift-nio, two channels"


class Bench:
    """The running servers and the tools: everything that cases are made from."""

    def __init__(self, tools, load_core, server_core, found, nginx, varnish, haproxy, haproxy_big, floor, latchstring,
                 distant):
        self.tools, self.load_core, self.server_core, self.found = tools, load_core, server_core, found
        self.nginx, self.varnish, self.haproxy, self.haproxy_big = nginx, varnish, haproxy, haproxy_big
        # None where no case about relaying was chosen.
        self.floor = floor
        # `distant`: the port of an edge whose key holder is some milliseconds away.
        self.latchstring, self.distant = latchstring, distant

    def load(self, *command):
        return lambda seconds: loads.run(command, self.load_core, seconds)

    def case(self, name):
        """One of NAMES."""
        makers = {"request": self.requests, "body": self.bodies, "relay-bulk": self.relayed_bulk,
                  "relay-connection": self.relayed_connections, "native-body": self.native_bodies}
        if name in makers:
            return makers[name]()
        kind, _, rest = name.partition("-")
        makers = {"cached": self.cached, "http2": self.http2, "latency": self.latency}
        if kind in makers:
            return makers[kind](rest)
        key_type = next(key_type for key_type, known in _SHORT.items() if known == rest)
        makers = {"handshake": self.handshakes, "connection": self.connections, "native": self.native_connections,
                  "keys": self.key_operations}
        return makers[kind](key_type)

    # The terminating modes against nginx with the key on disk

    def _https(self, port, name, *options):
        return self.load(self.tools["https"], "--port", port, "--name", name, *options)

    def _terminating(self, key_type, options, nginx_file=None, varnish=False, load=None,
                     work=lambda report: report["done"]):
        """nginx, perhaps Varnish, and both of our modes under the same load: contenders and rows.

        load: (port, server name) -> what puts the load on; the tool `https` with the options by default.
        """
        load = load or (lambda port, name: self._https(port, name, *options))
        ours = {"edge": self.latchstring.edge, "key holder": self.latchstring.keyholder}
        nginx = {"nginx": self.nginx.server}
        port, name = self.nginx.sites[key_type], certificates.SITES[key_type]
        contenders = [Contender(NGINX, under_load(load(port, name), nginx, work))]
        rows = [Row(NGINX, NGINX)]
        if nginx_file:
            contenders.append(Contender(NGINX_FILE, under_load(self._https(port, name, *nginx_file), nginx, work)))
            rows.append(Row(NGINX_FILE, NGINX_FILE))
        if varnish:
            contenders.append(Contender(VARNISH, under_load(
                load(self.varnish.port, name), {"varnish": self.varnish.server, "hitch": self.varnish.hitch}, work)))
            rows.append(Row(VARNISH, VARNISH))
        for edge, together, names in MODES.values():
            contenders.append(Contender(edge, under_load(load(self.latchstring.port, names[key_type]), ours, work)))
            rows += [Row(edge, edge, ("edge",)), Row(together, edge)]
        return contenders, rows

    def handshakes(self, key_type):
        contenders, rows = self._terminating(key_type, ("--requests", 0))
        return Case(f"handshake-{_SHORT[key_type]}", f"Full TLS 1.3 handshake, {_KEY_NAMES[key_type]}", "handshake",
                    contenders, rows, NGINX)

    def connections(self, key_type):
        contenders, rows = self._terminating(
            key_type, ("--requests", 1, "--path", "/cached/1024", "--body", 1024),
            nginx_file=("--requests", 1, "--path", "/file/1024", "--body", 1024))
        goals = [Goal(row, (NGINX,), limit) for mode, limits in _CONNECTION_GOALS[key_type].items()
                 for row, limit in zip(MODES[mode], limits) if limit]
        return Case(f"connection-{_SHORT[key_type]}",
                    f"New connection: full TLS 1.3 handshake, one GET of 1 KiB, cached, {_KEY_NAMES[key_type]}",
                    "connection", contenders, rows, NGINX, goals)

    def requests(self):
        contenders, rows = self._terminating("p256", ("--requests", 10**9, "--path", "/1024", "--body", 1024))
        return Case("request", "GET of 1 KiB from the origin on a kept connection", "request", contenders, rows, NGINX)

    def bodies(self):
        contenders, rows = self._terminating(
            "p256", ("--requests", 10**9, "--path", f"/{MEBIBYTE}", "--body", MEBIBYTE, "--connections", 8))
        return Case("body", "MiB from the origin on a kept connection, in bodies of 1 MiB", "MiB", contenders, rows,
                    NGINX)

    # From the cache

    def cached(self, size):
        length, limit = _CACHED[size]
        contenders, rows = self._terminating(
            "p256", ("--requests", 10**9, "--path", f"/cached/{length}", "--body", length, "--connections",
                     32 if length < MEBIBYTE else 8), varnish=True)
        goals = [Goal(row, (NGINX,), limit) for row in (KEYLESS, HANDOFF)] if limit else []
        return Case(f"cached-{size}", f"Cached GET of {length:,} bytes, HTTP/1.1, kept connection", "request",
                    contenders, rows, NGINX, goals)

    def http2(self, size):
        length, _ = _CACHED[size]

        def load(port, name):
            return lambda seconds: loads.run_h2load(
                self.found["h2load"], port, name, f"/cached/{length}", self.load_core, seconds, _STREAMS)

        contenders, rows = self._terminating("p256", (), varnish=True, load=load)
        goals = [Goal(row, (NGINX,), _HTTP2_GOAL[size]) for row in (KEYLESS, HANDOFF)] if size in _HTTP2_GOAL else []
        return Case(f"http2-{size}", f"Cached GET of {length:,} bytes, HTTP/2, {_STREAMS} streams on 8 connections",
                    "request", contenders, rows, NGINX, goals)

    # With a distance between edge and key holder

    def latency(self, kind):
        """One client, one connection after another: the time from connecting to the end of a cached response."""
        titles = {"handshake": "full TLS 1.3 handshake", "resumed": "resumed TLS 1.3 handshake",
                  "tls12": "full TLS 1.2 handshake"}
        options = ["--connections", 1, "--requests", 1, "--path", "/cached/1024", "--body", 1024]
        options += {"handshake": [], "resumed": ["--resume"], "tls12": ["--tls", "1.2"]}[kind]
        contenders, rows = [], []
        for place, port in (("beside it", self.latchstring.port), ("far away", self.distant)):
            for edge, _, names in MODES.values():
                label = f"{edge}, key holder {place}"
                contenders.append(Contender(label, under_load(
                    self._https(port, names["p256"], *options), {"edge": self.latchstring.edge},
                    lambda report: report["done"])))
                rows.append(Row(label, label, latency=True))
        return Case(f"latency-{kind}",
                    f"New connection and cached GET, {titles[kind]}, P-256; key holder {DELAY_MILLISECONDS} ms away, "
                    "each way", "connection", contenders, rows, rows[0].label, figure="µs taken")

    # The native handshake against TLS in both modes

    def _native(self, key_type, options, tls_options, work):
        ours = {"edge": self.latchstring.edge, "key holder": self.latchstring.keyholder}
        contenders, rows = [], []

        def add(label, load):
            contenders.append(Contender(label, under_load(load, ours, work)))
            rows.extend([Row(f"{label}: edge", label, ("edge",)), Row(f"{label}: edge and key holder", label)])

        for label, names in (("TLS, keyless", certificates.SITES), ("TLS, handoff", certificates.HANDOFF_SITES)):
            add(label, self._https(self.latchstring.port, names[key_type], *tls_options))
        roots = os.path.join(self.latchstring.certificates, certificates.SITE_AUTHORITY)
        for variant in ("origin-derived", "client-derived"):
            add(f"native, {variant}", self.load(
                self.tools["nativeload"], "--port", self.latchstring.port, "--name", certificates.SITES[key_type],
                "--roots", roots, "--variant", variant, *options))
        return contenders, rows

    def native_connections(self, key_type):
        contenders, rows = self._native(
            key_type, ("--path", "/1024", "--body", 1024),
            ("--requests", 1, "--path", "/1024", "--body", 1024, "--connections", 8), lambda report: report["done"])
        together = [row.label for row in rows[1::2]]
        goals = [Goal(row, (together[0],), _NATIVE_GOAL) for row in together[2:]]
        return Case(f"native-{_SHORT[key_type]}",
                    f"New connection and one GET of 1 KiB from the origin, {_KEY_NAMES[key_type]}", "connection",
                    contenders, rows, together[0], goals)

    def native_bodies(self):
        options = ("--requests", 10**9, "--path", f"/{MEBIBYTE}", "--body", MEBIBYTE, "--connections", 8)
        contenders, rows = self._native("p256", options, options, lambda report: report["done"])
        return Case("native-body", "MiB from the origin on a kept connection, in bodies of 1 MiB", "MiB", contenders,
                    rows, rows[1].label)

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
                    [Goal(RELAY, best, 1.0)])

    def relayed_connections(self):
        variants = [("nginx stream, by server name", self.nginx, "by name"),
                    ("HAProxy tcp, by server name", self.haproxy, "by name"),
                    ("nginx stream, fixed target", self.nginx, "plain"),
                    ("HAProxy tcp, fixed target", self.haproxy, "plain")]
        # One of the two is enough: no program on swift-nio is below its floor.
        goals = [Goal(RELAY, tuple(label for label, _, _ in variants), 1.8), Goal(RELAY, (FLOOR,), 1.1)]
        variants.append((FLOOR, self.floor, "plain"))
        contenders, rows = self._relay_contenders(variants, ("--bytes", 1024), lambda report: report["done"])
        return Case("relay-connection", "Relayed new connection: ClientHello, 1 KiB back, closed by the origin",
                    "connection", contenders, rows, "nginx stream, by server name", goals)

    # Key operations over the wire against the library alone

    def key_operations(self, key_type):
        label, ours = "openssl speed, no wire", "latchstring key holder, over mutual TLS"
        load = self.load(
            self.tools["keyload"], "--port", self.latchstring.keyholder_port, "--certificates",
            self.latchstring.certificates, "--edge", certificates.EDGE, "--keyholder", certificates.KEYHOLDER,
            "--name", certificates.SITES[key_type])
        contenders = [
            Contender(label, opensslspeed.signing(self.found["openssl"], key_type, self.server_core)),
            Contender(ours, under_load(load, {"key holder": self.latchstring.keyholder},
                                       lambda report: report["done"])),
        ]
        return Case(f"keys-{_SHORT[key_type]}", f"Signatures with a {_KEY_NAMES[key_type]} key at the key holder",
                    "signature", contenders, [Row(label, label), Row(ours, ours)], label,
                    [Goal(ours, (label,), 1 / _KEY_GOALS[key_type])])
