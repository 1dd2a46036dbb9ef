"""`openssl speed` as the yardstick for key operations: the library alone, no wire, on one core."""

import re

from .measure import Sample
from .processes import Failed, output_of

# key type -> (what `openssl speed` calls it, the line of its machine-readable output that counts signatures)
ALGORITHMS = {"p256": ("ecdsap256", "R5"), "rsa-2048": ("rsa2048", "R1")}


def signing(binary, key_type, core):
    """A `Contender.run`. `openssl speed` counts CPU time itself; it also measures verification, which is not used."""
    algorithm, line = ALGORITHMS[key_type]

    def run(seconds):
        whole = max(1, round(seconds))
        output = output_of(["sh", "-c", f'exec "$0" speed -mr -seconds {whole} {algorithm} 2>&1', binary], core=core)
        found = re.search(rf"^\+{line}:(\d+):\d+:([0-9.]+)$", output, re.MULTILINE)
        if not found:
            raise Failed(f"openssl speed {algorithm} printed no {line} line:\n{output}")
        count, seconds_used = int(found.group(1)), float(found.group(2))
        return Sample(work=count, failed=0, seconds=seconds_used, cpu={"openssl": seconds_used * 1e9}, foreign=0)

    return run
