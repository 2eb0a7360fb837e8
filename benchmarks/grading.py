"""Grades the same pairs with `openrlhf.grading` and with math-verify, in one run, and compares.

    python3 benchmarks/grading.py                       # the project's labelled pairs
    INTRO_DATA_DIR=… python3 benchmarks/grading.py      # and all answers of MATH

Each grader runs in a process of its own on the same file, one pair at a time with one worker; CPU time is
that of the process and of everything that it started, its start and its imports included. math-verify runs
with what its README recommends, its limits of five seconds for parsing and for comparing among it: some of
the table's pairs would hang it.
"""

import argparse
import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "OpenRLHF/tests/grading"))
GRADERS = ("openrlhf", "math-verify")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grader", choices=GRADERS, help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.grader:
        print(json.dumps(_grade(args.grader, json.loads(args.pairs.read_text()))))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for title, rows in _sets():
        _report(title, rows)


def _sets() -> list[tuple[str, list[tuple[str, str, bool | None]]]]:
    from labelled import labelled_pairs

    table: list[tuple[str, str, bool | None]] = [(pair.prediction, pair.gold, pair.equal) for pair in labelled_pairs()]
    sets = [("labelled pairs", table)]
    if "INTRO_DATA_DIR" in os.environ:
        answers = _math_answers(Path(os.environ["INTRO_DATA_DIR"]))
        sets.append(("MATH, each answer against itself", [(f"${a}$", a, True) for a in answers[::5]]))
        neighbours = [(a, b, None) for a, b in list(pairwise(answers))[::5]]
        sets.append(("MATH, each answer against the next", neighbours))
    return sets


def _math_answers(folder: Path) -> list[str]:
    from openrlhf.grading.extraction.boxes import find_boxes

    lines = gzip.decompress((folder / "hendrycks_math_test.jsonl.gz").read_bytes()).decode().split("\n")
    boxes = [find_boxes(json.loads(line)["solution"])[-1].content for line in lines if line]
    return [box for box in boxes if box]


def _report(title: str, rows: list[tuple[str, str, bool | None]]) -> None:
    print(f"\n{title}: {len(rows)} pairs")
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.json"
        file.write_text(json.dumps([row[:2] for row in rows]))
        for grader in GRADERS:
            command = [sys.executable, __file__, "--grader", grader, "--pairs", str(file)]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            result = json.loads(done.stdout.splitlines()[-1])
            rates[grader] = len(rows) / cpu
            seconds = sorted(result["seconds"])
            print(
                f"  {grader:12} {_quality(rows, result['equal'])}, {rates[grader]:.0f} pairs/s of CPU time, "
                f"p99 {1000 * seconds[int(0.99 * len(seconds))]:.1f} ms, slowest {1000 * seconds[-1]:.0f} ms"
            )
    print(f"  ratio of pairs per second of CPU time: {rates['openrlhf'] / rates['math-verify']:.1f}")


def _quality(rows: list[tuple[str, str, bool | None]], equal: list[bool]) -> str:
    if rows[0][2] is None:
        return f"{sum(equal)} called equal"
    right = sum(e == row[2] for e, row in zip(equal, rows, strict=True))
    accepted = sum(e and not row[2] for e, row in zip(equal, rows, strict=True))
    return f"{right}/{len(rows)} right ({100 * right / len(rows):.1f}%), {accepted} false accepts"


def _grade(grader: str, pairs: list[tuple[str, str]]) -> dict[str, list]:
    """Verdicts, and wall seconds for each pair."""
    compare = _openrlhf() if grader == "openrlhf" else _math_verify()
    equal, seconds = [], []
    for prediction, gold in pairs:
        started = time.perf_counter()
        equal.append(compare(prediction, gold))
        seconds.append(time.perf_counter() - started)
    return {"equal": equal, "seconds": seconds}


def _openrlhf():
    from openrlhf.grading import GradingPool

    pool = GradingPool(workers=1)
    return lambda prediction, gold: pool.submit(prediction, gold).result().equal


def _math_verify():
    import logging

    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)

    def compare(prediction: str, gold: str) -> bool:
        read = [parse(f"${text.strip('$')}$") for text in (gold, prediction)]
        return bool(verify(*read))

    return compare


if __name__ == "__main__":
    main()
