"""Audit lines on standard output, a pipe that nothing reads: how many signatures leave without a line that anything took."""

import os
import time

from . import a12_full_disk
from .common import Figure, Site

POINT, TITLE = "12", "audit to a pipe that is not read"
SITE = Site("keyless.attack.test", "keyless")


def run(lab):
    reader, writer = os.pipe()
    try:
        with lab.keyholder([SITE], audit="-", stdout=writer) as keyholder:
            os.close(writer)
            writer = None
            ok, refused, _ = a12_full_disk.sign_until_refused(lab, keyholder)
            time.sleep(1)
            keyholder.process.kill()  # what it holds in memory is lost
            keyholder.process.wait()
            with os.fdopen(reader, "rb") as lines:
                reader = None
                written = sum(b'"outcome":"ok"' in line and b'"sign-tls13"' in line for line in lines)
            return [Figure("signed", ok), Figure("of these without a line in the pipe", max(0, ok - written)),
                    Figure("refused then", refused)]
    finally:
        for descriptor in (reader, writer):
            if descriptor is not None:
                os.close(descriptor)
