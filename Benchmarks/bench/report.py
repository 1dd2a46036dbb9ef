"""From samples to figures, a plain table and JSON."""

import dataclasses
import statistics

# More than this share of failed work makes a figure worthless.
TOLERATED_FAILURES = 0.001


def summarise(case, samples):
    """The figures of a case, as plain dictionaries."""
    costs = {row.label: row.costs(samples) for row in case.rows}
    reference = costs[case.reference]
    rows = []
    for row in case.rows:
        turns = samples[row.contender]
        rows.append({
            "label": row.label,
            "work": sum(sample.work for sample in turns),
            "failed": sum(sample.failed for sample in turns),
            "per_second": statistics.median(sample.work / sample.seconds for sample in turns),
            "cpu_us": {"median": statistics.median(costs[row.label]), "least": min(costs[row.label]),
                       "most": max(costs[row.label]), "rounds": costs[row.label]},
            "per_cpu_second": 1e6 / statistics.median(costs[row.label]),
            "ratio": _ratio(costs[row.label], reference),
            "details": turns[-1].details,
        })
    goals = []
    for goal in case.goals:
        best = min(goal.against, key=lambda label: statistics.median(costs[label]))
        ratio = _ratio(costs[goal.row], costs[best])
        goals.append({"row": goal.row, "against": best, "limit": goal.limit, "ratio": ratio,
                      "met": ratio <= goal.limit})
    everything = [sample for turns in samples.values() for sample in turns]
    return {
        "name": case.name, "title": case.title, "unit": case.unit, "figure": case.figure, "reference": case.reference, "rows": rows,
        "goals": goals, "foreign": max(sample.foreign for sample in everything),
        "samples": {name: [dataclasses.asdict(sample) for sample in turns] for name, turns in samples.items()},
    }


def _ratio(costs, reference):
    """Median over the rounds: neighbours in time are compared, so that a slow spell of the machine cancels out."""
    return statistics.median(ours / theirs for ours, theirs in zip(costs, reference))


def failures(summary):
    """Rows with too much failed work."""
    return [f"{row['label']}: {row['failed']} failed ({row['details'].get('first_failure') or 'unknown'})"
            for row in summary["rows"] if row["failed"] > TOLERATED_FAILURES * row["work"]]


def problems(summary):
    """What makes the figures of a case doubtful."""
    found = failures(summary)
    if summary["foreign"] > 0.05:
        found.append(f"other processes used up to {summary['foreign']:.0%} of the machine meanwhile")
    return found


def table(summary):
    """The case as lines of text."""
    unit = summary["unit"]
    lines = ["", f"{summary['title']}  ({summary['name']})",
             f"  {'':44} {unit + 's':>12} {'per second':>11} {summary['figure'] + '/' + unit:>16} {'least..most':>19} {'ratio':>6}"]
    for row in summary["rows"]:
        cost = row["cpu_us"]
        spread = f"{cost['least']:.1f}..{cost['most']:.1f}"
        lines.append(f"  {row['label']:44} {row['work']:>12,.0f} {row['per_second']:>11,.0f} {cost['median']:>16.1f} "
                     f"{spread:>19} {row['ratio']:>6.2f}")
    for goal in summary["goals"]:
        verdict = "met" if goal["met"] else "missed"
        lines.append(f"  goal {verdict}: {goal['row']} {goal['ratio']:.3f} x {goal['against']}, "
                     f"at most {goal['limit']:.2f}")
    lines += [f"  doubtful: {problem}" for problem in problems(summary)]
    return "\n".join(lines)
