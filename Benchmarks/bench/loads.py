"""Builds the load tools (load/*.c) and runs them. Each prints one line of JSON."""

import json
import os
import re
import subprocess
import time

from .processes import Failed, output_of, pinned

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "load")
BESIDE = ("nativeload", "relayfloor")
TOOLS = ("https", "relay", "keyload", "origin", "delay")


def build(directory, binary):
    """Compiles all tools into the directory, but for those in Swift, which stand beside our own binary. Returns name -> path."""
    built = {tool: os.path.join(os.path.dirname(binary), tool) for tool in BESIDE}
    for tool in TOOLS:
        built[tool] = os.path.join(directory, tool)
        output_of(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", built[tool],
                   os.path.join(SOURCES, tool + ".c"), os.path.join(SOURCES, "load.c"), "-lssl", "-lcrypto"])
    return built


_H2LOAD_DONE = re.compile(r"requests: (\d+) total, .*? (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout")


def run_h2load(binary, port, name, path, core, seconds, streams, connections=8):
    """HTTP/2 GETs by h2load on kept connections. Returns a report like the other tools'."""
    command = [binary, f"--duration={max(1, round(seconds * 1000))}ms", f"--clients={connections}", f"--max-concurrent-streams={streams}",
               "--threads=1", f"--connect-to=127.0.0.1:{port}", "--tls13-ciphers=TLS_AES_128_GCM_SHA256",
               "--groups=X25519", f"https://{name}{path}"]
    began = time.monotonic()
    text = output_of(command, core, timeout=seconds + 30)
    ended = time.monotonic()
    found = _H2LOAD_DONE.search(text)
    if not found:
        raise Failed(f"{' '.join(command)}\nno line with the number of requests:\n{text}")
    _, succeeded, *unsuccessful = map(int, found.groups())
    protocol = re.search(r"Application protocol: (\S+)", text)
    if not protocol or protocol.group(1) != "h2":
        raise Failed(f"{name} at port {port} does not speak HTTP/2")
    # What is under way when the time is up is neither.
    report = {"done": succeeded, "failed": sum(unsuccessful), "seconds": ended - began,
              "first_failure": None, "negotiated": "h2"}
    if not succeeded:
        raise Failed(f"{' '.join(command)}\nnothing succeeded:\n{text}")
    return report


def run(command, core, seconds):
    """Runs a load tool for some seconds. Returns what it reports."""
    command = [str(part) for part in command] + ["--seconds", str(seconds)]
    # A tool ends some 5 s after its time at the latest; more means that it hangs.
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds + 30, preexec_fn=pinned(core))
    except subprocess.TimeoutExpired:
        raise Failed(f"{os.path.basename(command[0])} did not end {30} s after its time")
    try:
        report = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise Failed(f"{' '.join(command)}\n{done.stderr.strip() or 'no report'}")
    if not report["done"]:
        raise Failed(f"{' '.join(command)}\nnothing succeeded; first failure: {report['first_failure']}")
    return report
