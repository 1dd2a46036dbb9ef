"""Contenders take turns; each turn gives the work done and the CPU time that each of their processes used for it."""

import dataclasses
import os
import time
from typing import Callable

from . import cputime


@dataclasses.dataclass
class Sample:
    """One turn of one contender."""

    work: float  # in units of the case
    failed: int
    seconds: float
    cpu: dict  # part's name -> nanoseconds
    foreign: float  # CPU time of processes outside this run, as a share of all cores
    details: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Contender:
    """What is measured: how to put load on it, and how to read its CPU time."""

    name: str
    run: Callable  # seconds -> Sample


@dataclasses.dataclass
class Row:
    """A line of the table: a contender, and which of its parts are added up (None: all).

    With `latency`, the median time of a unit of work is taken instead of its CPU time.
    """

    label: str
    contender: str
    parts: tuple = None
    latency: bool = False

    def costs(self, samples):
        """CPU µs (or µs from beginning to end) per unit of work, one for each turn."""
        if self.latency:
            return [sample.details["latency_us"]["p50"] for sample in samples[self.contender]]
        return [
            sum(nanoseconds for part, nanoseconds in sample.cpu.items() if self.parts is None or part in self.parts)
            / 1000 / sample.work
            for sample in samples[self.contender]
        ]


@dataclasses.dataclass
class Goal:
    """A row's cost may be at most `limit` times that of the cheapest of the other rows."""

    row: str
    against: tuple
    limit: float


@dataclasses.dataclass
class Case:
    name: str
    title: str
    unit: str
    contenders: list
    rows: list
    reference: str  # the row that the ratio column is against
    goals: list = dataclasses.field(default_factory=list)
    figure: str = "CPU µs"


def under_load(load, parts, work):
    """A `Contender.run`: puts the load on, and reads the CPU time of the parts' processes before and after.

    load: seconds -> report of the load tool. parts: name -> process. work: report -> units of work.
    """

    def run(seconds):
        before = {name: cputime.of_tree(server.pid) for name, server in parts.items()}
        machine, own = cputime.of_machine(), _own_time()
        report = load(seconds)
        time.sleep(0.05)  # the servers' part in closing the last connections
        after = {name: cputime.of_tree(server.pid) for name, server in parts.items()}
        for server in parts.values():
            server.check()
        busy = cputime.of_machine() - machine
        foreign = max(0, busy - (_own_time() - own))
        return Sample(
            work=work(report), failed=report["failed"], seconds=report["seconds"],
            cpu={name: after[name] - before[name] for name in parts},
            foreign=foreign / (report["seconds"] * 1e9 * os.cpu_count()),
            details={key: report[key] for key in ("latency_us", "negotiated", "first_failure") if key in report})

    return run


def _own_time():
    """CPU time of this process, its descendants that are running, and those that it has waited for."""
    times = os.times()
    return cputime.of_tree(os.getpid()) + int((times.children_user + times.children_system) * 1e9)


def alternate(case, rounds, seconds, progress):
    """Runs all contenders of a case in turn, A B A B. Returns contender's name -> one sample for each round."""
    for contender in case.contenders:
        progress(f"{case.name}: warming up {contender.name}")
        contender.run(min(0.5, seconds))
    samples = {contender.name: [] for contender in case.contenders}
    for turn in range(rounds):
        for contender in case.contenders:
            progress(f"{case.name}: round {turn + 1} of {rounds}, {contender.name}")
            samples[contender.name].append(contender.run(seconds))
    return samples
