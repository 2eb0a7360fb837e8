"""Whether generating ahead would pay, by what the steps of an earlier run took."""

import json
from pathlib import Path
from statistics import median

_TIMES = ("time/generate_s", "time/train_s", "time/sync_s")


def ahead_outlook(metrics: Path) -> str:
    """A line of the plan; "" where the file has no step of a run that took turns.

    metrics: a metrics.jsonl. A step then takes what the slower of generation and update takes, and the sync.
    """
    rows = [row for row in _rows(metrics) if all(map(row.get, _TIMES)) and "train/version_lag" not in row]
    if not rows:
        return ""
    generate, train, sync = (median(row[name] for row in rows[-20:]) for name in _TIMES)
    now, ahead = generate + train + sync, max(generate, train) + sync
    return (
        f"  ahead       a step in {metrics}: {generate:.1f} s generation, {train:.1f} s training, {sync:.1f} s sync;\n"
        f"              with --rollout_ahead 1 and devices of their own about {ahead:.1f} s instead of {now:.1f}"
        f" ({1 - ahead / now:.0%} less)"
    )


def _rows(file: Path) -> list[dict]:
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            found.append(row)
    return found
