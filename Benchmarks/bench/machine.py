"""What the figures were measured on: processor, kernel, versions of the peers."""

import mmap
import os
import platform
import re
import subprocess


def _first_line(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if lines else None


def _cpu_model():
    with open("/proc/cpuinfo") as cpuinfo:
        match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read(), re.MULTILINE)
    return match.group(1).strip() if match else platform.machine()


def cores():
    """The cores this process may run on: the first is for what is measured, the last for the load and the origin."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def _linkage(binary):
    """How Swift's libraries come to the program: a packaged one has them linked in, and costs less."""
    with open(binary, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return "shared libraries" if content.find(b"libswiftCore.so") >= 0 else "linked in"


def describe(found, binary):
    """A dictionary of strings and numbers that goes into the report. found: command -> path; binary: what is measured."""
    return {
        "swift": _linkage(binary),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "system": _system(),
        "nginx": _first_line([found["nginx"], "-v"]),
        "haproxy": _first_line([found["haproxy"], "-v"]),
        "varnish": _first_line([found["varnishd"], "-V"]),
        "openssl": _first_line([found["openssl"], "version"]),
    }


def _system():
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
