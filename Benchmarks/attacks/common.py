"""What the attacks share: an edge, a key holder and an origin on loopback, clients with addresses of their own, figures.

Servers run on one core, the attack and the origin on another. Every process that is started is ended by its own object.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

from bench import cputime
from bench.processes import Failed, free_port, output_of, pinned

# The attacker, and the clients that suffer, never have the same address.
ATTACKER = "127.0.0.66"
KEYHOLDER, EDGE, EVIL_EDGE = "home", "paris", "evil"
# Name of each site -> the type of its key.
NAMES = {"keyless.attack.test": "p256", "handoff.attack.test": "p256", "rsa-keyless.attack.test": "rsa-2048",
         "rsa-handoff.attack.test": "rsa-2048", "other.attack.test": "p256"}


def other_address(number):
    """An address of a client that does no harm, in an IPv4 /24 of its own; numbers from 0 to 9,999."""
    return f"127.{1 + number // 250}.{number % 250}.1"


@dataclasses.dataclass
class Figure:
    """One figure of an attack, as it stands in the table. A value is a number, a text, or None if it was not measured."""
    name: str
    value: object
    unit: str = ""


@dataclasses.dataclass
class Site:
    name: str
    mode: str
    rate: int = 1_000_000  # of the grant


def share(part, whole):
    return round(100 * part / whole, 1) if whole else None


class Process:
    """A process on a core of its own. What it writes goes to a file, unless other descriptors are given."""

    def __init__(self, name, command, core, directory, stdout=None, stderr=None, before=None):
        self.name, self.directory = name, directory
        self.log = os.path.join(directory, name + ".log")

        def prepare():
            os.sched_setaffinity(0, {core})
            if before:
                before()

        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output if stdout is None else stdout,
                stderr=output if stderr is None else stderr, cwd=directory, preexec_fn=prepare, start_new_session=True)
        self.pid = self.process.pid

    def cpu(self):
        """Seconds of CPU time so far, of the process and its children."""
        return cputime.of_tree(self.pid) / 1e9

    def resident(self):
        """Bytes of memory resident now."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def log_size(self):
        return os.path.getsize(self.log)

    def log_lines(self, since=0, with_text=""):
        with open(self.log, errors="replace") as file:
            file.seek(since)
            return [line for line in file if with_text in line]

    def wait_for(self, condition, seconds=20):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with status {self.process.returncode}:\n{self.tail()}")
            if condition():
                return
            time.sleep(0.05)
        raise Failed(f"{self.name} was not ready within {seconds} s:\n{self.tail()}")

    def tail(self):
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-15:])

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        if not self.alive():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return response.status == 200
    except OSError:
        return False


class Lab:
    """Certificates, tools and processes of one run."""

    def __init__(self, binary, directory, tools, server_core, load_core, nginx=None):
        self.binary, self.directory, self.tools, self.nginx_binary = binary, directory, tools, nginx
        self.server_core, self.load_core = server_core, load_core
        self.certificates = os.path.join(directory, "certs")
        self.started = contextlib.ExitStack()
        output_of([binary, "certs", "--out", self.certificates, "--edge", EDGE, "--edge", EVIL_EDGE,
                   "--keyholder", KEYHOLDER, *(f"--site={name}:{key}" for name, key in NAMES.items())])
        self.origin_port, self.raw_port = free_port(), free_port()  # the raw one speaks what Benchmarks/load/wire.h says
        self.origin = self.start(
            "origin", [tools["origin"], "--http", str(self.origin_port), "--raw", str(self.raw_port)], load_core)
        self.origin.wait_for(lambda: connects(self.origin_port))

    def path(self, name):
        return os.path.join(self.certificates, name)

    def start(self, name, command, core, **options):
        process = Process(name, command, core, self.directory, **options)
        self.started.callback(process.stop)
        return process

    def close(self):
        self.started.close()

    @contextlib.contextmanager
    def keyholder(self, sites, audit="audit.jsonl", prefix=(), extra="", native=False, evil_rate=1_000_000, **options):
        """A key holder that grants sites to the edge, and one of its own to another edge."""
        port, admin, native_port = free_port(), free_port(), free_port() if native else None
        application = f"    application: 127.0.0.1:{self.origin_port}\n" if native else ""
        keys = "".join(f"  - certificate: {self.path(name)}.pem\n    key: {self.path(name)}.key\n{application}"
                       for name in NAMES)
        if native:
            extra += f"native: 127.0.0.1:{native_port}\n"
        operations = {site.name: f"{site.mode}, native" if native else site.mode for site in sites}
        grants = "".join(f"  - edge: {EDGE}\n    sites: [{site.name}]\n    operations: [{operations[site.name]}]\n"
                         f"    rate: {site.rate}\n" for site in sites)
        grants += (f"  - edge: {EVIL_EDGE}\n    sites: [other.attack.test]\n    operations: [keyless, handoff]\n"
                   f"    rate: {evil_rate}\n")
        configuration = self.write("keyholder.yaml", (
            f"role: keyholder\nlisten: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\n{self._identity('keyholder', KEYHOLDER)}"
            f"sites:\n{keys}grants:\n{grants}audit: \"{audit}\"\nlog: {{level: info, format: text}}\n{extra}"))
        process = self.start("keyholder", [*prefix, self.binary, "keyholder", "--config", configuration], self.server_core,
                             **options)
        try:
            process.port, process.native_port, process.audit = port, native_port, os.path.join(self.directory, audit)
            process.wait_for(lambda: answers(f"http://127.0.0.1:{admin}/health/live") and connects(port))
            yield process
        finally:
            process.stop()

    @contextlib.contextmanager
    def edge(self, sites, keyholder, origin_port=None, extra="", origin_extra="", **options):
        port, admin = free_port(), free_port()
        native = f"    native: 127.0.0.1:{keyholder.native_port}\n" if keyholder.native_port else ""
        described = "".join(
            f"  - domains: [{site.name}]\n    mode: {site.mode}\n    keyholder: {KEYHOLDER}\n"
            f"    origin:\n      url: http://127.0.0.1:{origin_port or self.origin_port}\n{origin_extra}" for site in sites)
        configuration = self.write("edge.yaml", (
            f"role: edge\nlisten: [127.0.0.1:{port}]\nadmin: 127.0.0.1:{admin}\n{self._identity('edge', EDGE)}"
            f"keyholders:\n  {KEYHOLDER}:\n    addresses: [127.0.0.1:{keyholder.port}]\n{native}sites:\n{described}"
            f"log: {{level: info, format: text}}\n{extra}"))
        process = self.start("edge", [self.binary, "edge", "--config", configuration], self.server_core, **options)
        try:
            process.port, process.admin = port, admin
            process.wait_for(lambda: answers(f"http://127.0.0.1:{admin}/health/ready") and connects(port))
            yield process
        finally:
            process.stop()

    @contextlib.contextmanager
    def pair(self, sites, origin_port=None, edge_extra="", origin_extra="", native=False, keyholder_options=None,
             **edge_options):
        """An edge with its key holder."""
        with self.keyholder(sites, native=native, **(keyholder_options or {})) as keyholder:
            with self.edge(sites, keyholder, origin_port, edge_extra, origin_extra, **edge_options) as edge:
                yield edge, keyholder

    @contextlib.contextmanager
    def nginx(self, name, http2=True):
        """nginx with the certificate of a site, on the servers' core. It proxies everything to the origin."""
        port = free_port()
        flags = " http2" if http2 else ""
        configuration = self.write("nginx.conf", f"""\
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
worker_rlimit_nofile 19000;
pid {self.directory}/nginx.pid;
error_log {self.directory}/nginx-error.log error;
events {{ worker_connections 9000; }}
http {{
    access_log off;
    client_body_temp_path {self.directory}/nginx-body;
    proxy_temp_path {self.directory}/nginx-proxy;
    fastcgi_temp_path {self.directory}/nginx-fastcgi;
    uwsgi_temp_path {self.directory}/nginx-uwsgi;
    scgi_temp_path {self.directory}/nginx-scgi;
    ssl_session_tickets off;
    upstream origin {{ server 127.0.0.1:{self.origin_port}; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port} ssl{flags} backlog=4096;
        ssl_certificate {self.path(name)}.pem;
        ssl_certificate_key {self.path(name)}.key;
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
""")
        command = [self.nginx_binary, "-p", self.directory, "-e", f"{self.directory}/nginx-error.log", "-c", configuration]
        process = self.start("nginx", command, self.server_core)
        try:
            process.port = port
            process.wait_for(lambda: connects(port))
            yield process
        finally:
            process.stop()

    def _identity(self, role, name):
        return (f"identity:\n  certificate: {self.path(f'{role}-{name}.pem')}\n  key: {self.path(f'{role}-{name}.key')}\n"
                f"  authority: {self.path('authority.pem')}\n")

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    # Load

    def tool(self, name, *arguments):
        """Starts a load tool beside what goes on. `finish` takes what it printed."""
        return subprocess.Popen([self.tools[name], *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, preexec_fn=pinned(self.load_core))

    def hellos(self, port, rate, seconds, **options):
        """See hellos.c; options are its own: `send`, `name`, `source` and so on."""
        arguments = ["--port", port, "--rate", rate, "--seconds", seconds]
        for key, value in options.items():
            arguments += [f"--{key}"] if value is True else [f"--{key}", value]
        return self.tool("hellos", *arguments)

    def keyload(self, keyholder, seconds, in_flight, name="keyless.attack.test"):
        return self.tool("keyload", "--port", keyholder.port, "--certificates", self.certificates, "--edge", EDGE,
                         "--keyholder", KEYHOLDER, "--name", name, "--seconds", seconds, "--in-flight", in_flight)

    # Clients

    def client_context(self, alpn=("http/1.1",)):
        context = ssl.create_default_context(cafile=self.path("test-site-authority.pem"))
        context.set_alpn_protocols(list(alpn))
        return context

    def connect(self, port, name, source=ATTACKER, timeout=5.0, alpn=("http/1.1",), **options):
        """A TLS connection; raises OSError."""
        plain = connect(port, source, timeout, **options)
        try:
            return self.client_context(alpn).wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def fetch(self, port, name, path="/1024", source="127.0.0.1", timeout=5.0):
        """One GET on a connection of its own. Returns status (0 if there was none) and seconds."""
        began = time.monotonic()
        try:
            with self.connect(port, name, source, timeout) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                received = b""
                while chunk := client.recv(65536):
                    received += chunk
                    if time.monotonic() - began > timeout:
                        break
            status = final_status(received)
        except OSError:
            status = 0
        return status, time.monotonic() - began

    def others(self, port, name, count, seconds, path="/1024", timeout=5.0):
        """Clients with an address each that come evenly over some seconds: how many got 200, and their sorted seconds."""
        began = time.monotonic()

        def one(number):
            time.sleep(max(0, began + number * seconds / count - time.monotonic()))
            return self.fetch(port, name, path, other_address(number), timeout)

        with concurrent.futures.ThreadPoolExecutor(max_workers=min(count, 64)) as pool:
            results = list(pool.map(one, range(count)))
        times = sorted(seconds for status, seconds in results if status == 200)
        return len(times), times


    def native_others(self, port, name, count, seconds, timeout=5.0):
        """Native clients that come evenly over some seconds, from one address. Returns how many got their response."""
        began = time.monotonic()

        def one(number):
            time.sleep(max(0, began + number * seconds / count - time.monotonic()))
            try:
                return subprocess.run(
                    [self.binary, "client", "--native", "origin-derived", "--connect", f"127.0.0.1:{port}", "--roots",
                     self.path("test-site-authority.pem"), f"https://{name}/1024"],
                    stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout).returncode == 0
            except subprocess.TimeoutExpired:
                return False

        with concurrent.futures.ThreadPoolExecutor(max_workers=min(count, 64)) as pool:
            return sum(pool.map(one, range(count)))


def finish(process, timeout=120):
    """What a load tool printed, as dictionaries."""
    try:
        text, complaint = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed(f"{process.args[0]} did not end within {timeout} s")
    try:
        return [json.loads(line) for line in text.strip().splitlines()]
    except ValueError:
        raise Failed(f"{' '.join(process.args)}\n{complaint.strip() or text}")


def connect(port, source=ATTACKER, timeout=5.0, receive_buffer=None, send_buffer=None, segment=None):
    """A TCP connection from this address, with so many bytes of buffers and segments; raises OSError."""
    plain = socket.socket()
    try:
        plain.settimeout(timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        if segment:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        plain.bind((source, 0))
        plain.connect(("127.0.0.1", port))
        return plain
    except BaseException:
        plain.close()
        raise


def final_status(received):
    """The status of a response, after 1xx; 0 if there is none."""
    for status in re.findall(rb"^HTTP/1\.1 (\d\d\d) ", received, re.MULTILINE):
        if not status.startswith(b"1"):
            return int(status)
    return 0


def percentile(times, part):
    """Of sorted times, in milliseconds."""
    return round(1000 * times[min(len(times) - 1, int(len(times) * part))], 1) if times else None
