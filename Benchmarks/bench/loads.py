"""Builds the load tools (load/*.c) and runs them. Each prints one line of JSON."""

import json
import os
import subprocess

from .processes import Failed, output_of, pinned

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "load")
TOOLS = ("https", "relay", "keyload", "origin")


def build(directory):
    """Compiles all tools into the directory. Returns name -> path."""
    built = {}
    for tool in TOOLS:
        built[tool] = os.path.join(directory, tool)
        output_of(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", built[tool],
                   os.path.join(SOURCES, tool + ".c"), os.path.join(SOURCES, "load.c"), "-lssl", "-lcrypto"])
    return built


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
