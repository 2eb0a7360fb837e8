"""Perturbs all gold answers at hand and counts the pairs that the grader takes for equal. None may be.

    INTRO_DATA_DIR=… python3 benchmarks/perturbed.py [--most N] [--workers 1]

Prints pairs tried and false accepts by kind, and every false accept. The pairs are the same ones in every run.
"""

import argparse
import gzip
import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "OpenRLHF/tests/grading"))
from perturbed import perturbed

from openrlhf.grading import GradingPool
from openrlhf.grading.extraction.boxes import find_boxes

FIELDS = ("final_answer", "answer", "Answer", "target", "correct", "gold")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, help="try no more pairs than this, drawn at random")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=5.0)
    args = parser.parse_args()
    answers = golds(Path(os.environ["INTRO_DATA_DIR"]))
    pairs = [pair for gold in answers for pair in perturbed(gold)]
    print(f"{len(answers)} different golds, {len(pairs)} pairs")
    if args.most and len(pairs) > args.most:
        pairs = random.Random(0).sample(pairs, args.most)
    started = time.perf_counter()
    tried, accepted, ended = Counter(), Counter(), Counter()
    with GradingPool(args.workers, args.timeout) as pool:
        for start in range(0, len(pairs), 1000):
            batch = pairs[start : start + 1000]
            verdicts = pool.grade_batch([(pair.prediction, pair.gold) for pair in batch])
            for pair, verdict in zip(batch, verdicts, strict=True):
                tried[pair.kind] += 1
                ended[verdict.how] += 1
                if verdict.equal:
                    accepted[pair.kind] += 1
                    print(f"accepted: {pair}", flush=True)
                elif verdict.how in ("error", "timeout", "worker_died", "too_complex"):
                    print(f"{verdict.how}: {pair}", flush=True)
    for kind, count in sorted(tried.items()):
        print(f"  {kind:10} {count:7} pairs, {accepted[kind]} accepted")
    print(f"  all        {sum(tried.values()):7} pairs, {sum(accepted.values())} accepted, {dict(ended)}")
    print(f"  {time.perf_counter() - started:.0f} s")


def golds(folder: Path) -> list[str]:
    """The different gold answers of every data set in a folder, sorted."""
    found: set[str] = set()
    for file in sorted(folder.rglob("*.jsonl*")):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for line in data.decode().split("\n"):
            if line:
                found.update(_golds(json.loads(line)))
    return sorted(gold for gold in found if gold.strip())


def _golds(row: dict) -> list[str]:
    if "####" in str(row.get("answer", "")):
        return [str(row["answer"]).split("####")[-1].strip()]
    if "solution" in row and (boxes := find_boxes(str(row["solution"]))):
        return [boxes[-1].content]
    values = [value for field in FIELDS if (value := row.get(field)) is not None]
    return [str(v).strip("$ ") for value in values for v in (value if isinstance(value, list) else [value])]


if __name__ == "__main__":
    main()
