"""Starting processes on a core of their own, waiting until they serve, and ending them by their process id."""

import os
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """Something that the run needs did not work; the text says what and, where known, the remedy."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(core):
    """For `preexec_fn`: keeps the new process, and all that it starts, on one core."""
    return lambda: os.sched_setaffinity(0, {core})


class Server:
    """A process that serves until it is stopped. Its output goes to a log file, which is quoted when it fails."""

    def __init__(self, name, command, core, directory, port):
        self.name = name
        self.log = os.path.join(directory, name.replace(" ", "-") + ".log")
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=directory,
                preexec_fn=pinned(core), start_new_session=True)
        self.pid = self.process.pid
        self._await(port)

    def _await(self, port):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with status {self.process.returncode}:\n{self._tail()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise Failed(f"{self.name} did not open port {port} within 20 s:\n{self._tail()}")

    def _tail(self):
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-15:])

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended with status {self.process.returncode}:\n{self._tail()}")

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def output_of(command, core=None, timeout=120, environment=None):
    """Runs a command to its end. Returns its standard output; raises Failed with its complaint."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, env=environment,
            preexec_fn=pinned(core) if core is not None else None)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} did not end within {timeout} s")
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
