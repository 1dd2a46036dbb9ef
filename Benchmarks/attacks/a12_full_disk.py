"""A disk that is full: how many signatures leave the key holder without a line about them."""

import os
import shutil
import time

from . import flood, keyclient
from .common import EDGE, Figure, Site

POINT, TITLE = "12", "audit file on a full disk (tmpfs of 64 MiB)"
MOST, SECONDS, IN_FLIGHT, BATCH = 150_000, 45, 2048, 32
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return [Figure("not measured: needs root and unshare, for a file system in a mount namespace of its own", None)]
    folder = os.path.join(lab.directory, "audit-disk")
    os.makedirs(folder, exist_ok=True)
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
              f"mount -t tmpfs -o size=64m,mode=700 audit '{folder}' && exec \"$0\" \"$@\""]
    with lab.keyholder([SITE], audit="audit-disk/audit.jsonl", prefix=prefix) as keyholder:
        inside = f"/proc/{keyholder.pid}/root{folder}"
        audit, filler = os.path.join(inside, "audit.jsonl"), os.path.join(inside, "filler")
        sign(lab, keyholder, 100, 5)
        time.sleep(0.5)
        fill(filler)
        before = signed_lines(audit)
        ok, refused, seconds = sign_until_refused(lab, keyholder)
        time.sleep(1.5)
        written = signed_lines(audit) - before
        os.unlink(filler)
        freed, again = time.monotonic(), 0
        while again < 100 and time.monotonic() - freed < 20:
            again = sign(lab, keyholder, 100, 5)
            time.sleep(0.2)
        recovered = time.monotonic() - freed
        after = signed_lines(audit) - before
        return [
            Figure("signed while the disk was full", ok), Figure("of these without a line on it", max(0, ok - written)),
            Figure("refused then", refused),
            Figure("signing again after there was space", f"after {recovered:.1f} s" if again == 100 else "no, in 20 s"),
            Figure("signed while the disk was full and without a line even then", max(0, ok - after)),
        ]


def fill(path):
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def signed_lines(path):
    with open(path, "rb") as file:
        return sum(b'"outcome":"ok"' in line and b'"sign-tls13"' in line for line in file)


def sign(lab, keyholder, count, seconds):
    """How many of so many signatures are made, one batch after the other."""
    return _drive(lab, keyholder, count, seconds, lambda counts: False)[0]


def sign_until_refused(lab, keyholder):
    """Until 2,000 requests were refused, which a full audit queue is."""
    return _drive(lab, keyholder, MOST, SECONDS, lambda counts: counts.get(keyclient.ERROR, 0) > 2000)


def _drive(lab, keyholder, count, seconds, enough):
    answers, asked = keyclient.Answers(), 0

    def more():
        nonlocal asked
        answered = answers.counts.get(keyclient.SUCCESS, 0) + answers.counts.get(keyclient.ERROR, 0)
        wanted = min(BATCH, count - asked, IN_FLIGHT - (asked - answered))
        asked += max(0, wanted)
        return b"".join(keyclient.sign(asked - at, SITE.name) for at in range(wanted))

    def done():
        return enough(answers.counts) or sum(answers.counts.values()) >= count

    stream = flood.Stream(keyclient.link(lab, keyholder.port, EDGE), more, answers.feed)
    took = flood.run([stream], seconds, done)
    stream.connection.close()
    return answers.counts.get(keyclient.SUCCESS, 0), answers.counts.get(keyclient.ERROR, 0), took
