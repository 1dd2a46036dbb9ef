"""Memory of the servers' processes: per 100,000 cached objects, per 10,000 idle TLS connections, and after a million connections.

Counted is the proportional set size (/proc/PID/smaps_rollup) of all processes of a server: its own memory and its share of
what it has in common with others. What a server keeps on disk is not in it, nor is the kernel's memory for sockets.
"""

import resource
import subprocess

from . import certificates, cputime, loads
from .processes import Failed, pinned

NAMES = ("memory-objects", "memory-idle", "memory-connections")
OBJECTS, OBJECT_BYTES = 100_000, 1024
IDLE = 10_000
CONNECTIONS, SLICE_SECONDS = 1_000_000, 10


def measure(name, bench, progress):
    """Runs one of NAMES. Returns lines of (what, bytes before, bytes after, how many)."""
    if name == "memory-connections":
        return _after_connections(bench, progress)
    contenders = [
        ("nginx", bench.nginx.sites["p256"], certificates.SITES, [bench.nginx.server]),
        ("Varnish behind Hitch", bench.varnish.port, certificates.SITES, [bench.varnish.server, bench.varnish.hitch]),
        ("latchstring edge, keyless", bench.latchstring.port, certificates.SITES, [bench.latchstring.edge]),
        ("latchstring edge, handoff", bench.latchstring.port, certificates.HANDOFF_SITES, [bench.latchstring.edge]),
    ]
    if name == "memory-objects":
        # Both modes have the same cache.
        contenders = contenders[:3]
        # The edge ends a connection after 10,000 requests.
        options, count = ["--connections", 32, "--requests", OBJECTS // 32, "--paths", OBJECTS], OBJECTS
    else:
        options, count = ["--connections", IDLE, "--requests", 1], IDLE
    results = []
    for label, port, names, servers in contenders:
        command = [bench.tools["https"], "--port", port, "--name", names["p256"], "--path", f"/cached/{OBJECT_BYTES}",
                   "--body", OBJECT_BYTES, "--seconds", 300, "--hold", "--sources", 100, *options]
        before = sum(_bytes(server.pid) for server in servers)
        with subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              preexec_fn=pinned(bench.load_core)) as load:
            line = load.stdout.readline().strip()
            if line != "holding":
                raise Failed(f"{label}: {line or 'the load tool gave up'}")
            after = sum(_bytes(server.pid) for server in servers)
            load.stdin.close()
            load.wait(60)
        results.append((label, before, after, count))
    return results


def _after_connections(bench, progress):
    """New connections with one request each, a mode at a time. "Before" is after the first tenth: what a process fills once is full then."""
    ours = bench.latchstring
    https = [bench.tools["https"], "--port", ours.port, "--requests", 1, "--path", "/cached/1024", "--body", 1024]
    relay = [bench.tools["relay"], "--port", ours.port, "--name", certificates.RELAY_NAME, "--bytes", 1024]
    results = []
    for label, command, server in (
            ("latchstring edge, keyless", [*https, "--name", certificates.SITES["p256"]], ours.edge),
            ("latchstring edge, handoff", [*https, "--name", certificates.HANDOFF_SITES["p256"]], ours.edge),
            ("latchstring edge, relay", relay, ours.edge)):
        done, early = 0, None
        while done < CONNECTIONS:
            done += loads.run(command, bench.load_core, SLICE_SECONDS)["done"]
            progress(f"{label}: {done:,} connections")
            if early is None and done >= CONNECTIONS // 10:
                early, first = _bytes(server.pid), done
        results.append((label, early, _bytes(server.pid), done - first))
    holder = ours.keyholder.pid
    results.append(("latchstring key holder, after all of them", 0, _bytes(holder), CONNECTIONS * 2))
    return results


def table(name, results):
    what = {"memory-objects": f"cached objects of {OBJECT_BYTES:,} bytes", "memory-idle": "idle TLS connections",
            "memory-connections": f"connections, after the first {CONNECTIONS // 10:,}"}[name]
    lines = ["", f"Memory for {results[0][3]:,} {what}  ({name})",
             f"  {'':44} {'before, MiB':>12} {'after, MiB':>12} {'more, MiB':>12} {'bytes each':>12}"]
    for label, before, after, count in results:
        lines.append(f"  {label:44} {before / 2**20:>12.1f} {after / 2**20:>12.1f} {(after - before) / 2**20:>12.1f} "
                     f"{(after - before) / count:>12,.0f}")
    return "\n".join(lines)


def _bytes(root):
    """Proportional set size of a process and all that it started."""
    total = 0
    for pid in cputime.tree(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
        except (OSError, StopIteration):
            continue
    return total


def allow_many_files():
    """Servers and load tools inherit the limit of open files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
