"""The CPU time that a process and its descendants have used, in nanoseconds.

From /proc/PID/task/*/schedstat, whose first number is the time each thread has run (user and system, as the scheduler
counts it). Threads that have ended are in none of these files, so the whole process's time in clock ticks
(/proc/PID/stat) is taken instead where it is clearly more.
"""

import os

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _parents():
    """process id -> parent's process id, of all processes."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                found[int(entry)] = int(fields[1])
    return found


def _stat(pid):
    """The fields of /proc/PID/stat after the command's name, or None if the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def tree(root):
    """The process and all its descendants."""
    parents = _parents()
    members = {root}
    grown = True
    while grown:
        more = {child for child, parent in parents.items() if parent in members} - members
        members |= more
        grown = bool(more)
    return members


def of_process(pid):
    threads = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    threads += int(file.read().split()[0])
            except OSError:
                continue
    except OSError:
        return 0
    fields = _stat(pid)
    ticks = (int(fields[11]) + int(fields[12])) * _TICK if fields else 0
    return ticks if ticks > threads + 5 * _TICK else threads


def of_tree(root):
    return sum(of_process(pid) for pid in tree(root))


def of_machine():
    """Busy time of all cores since the machine started, in nanoseconds, in steps of a clock tick."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * _TICK
