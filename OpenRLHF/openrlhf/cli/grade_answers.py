"""Grades a file of answers: `python3 -m openrlhf.cli.grade_answers --input in.jsonl --output out.jsonl`.

Every input line is a JSON object with "gold" and either "pred" (the answer) or "response" (the text to find
it in). Every output line repeats it with "equal", "how", "extracted" and "seconds".
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TextIO

from openrlhf.cli.parser import Parser
from openrlhf.errors import UserError
from openrlhf.grading import GradingPolicy, GradingPool, Verdict, extract_answer
from openrlhf.grading.policy import CHOICES

_IN_FLIGHT = 256


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0, 1 if lines were malformed and skipped or none was there, 2 for a mistake in the call."""
    args = _parser().parse_args(arguments)
    try:
        choices = {name: getattr(args, name) for name in CHOICES}
        policy = GradingPolicy(**choices, tolerance=args.tolerance, last_number=args.last_number)
        malformed = grade_file(args.input, args.output, args.workers, args.timeout, policy)
    except UserError as error:
        print(f"grade_answers: {error}", file=sys.stderr)
        return 2
    return 1 if malformed else 0


def grade_file(source: Path, target: Path, workers: int, timeout: float, policy: GradingPolicy) -> int:
    """Grades `source` into `target`, under a temporary name; returns how many lines were malformed, 1 for no line."""
    if not source.is_file():
        raise UserError(f"the input {str(source)!r} is no file; give a JSON-lines file with --input")
    if not target.parent.is_dir():
        raise UserError(f"the folder of the output, {str(target.parent)!r}, does not exist; create it first")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    counts: Counter[str] = Counter()
    try:
        with (
            source.open(encoding="utf-8", errors="replace", newline="\n") as lines,
            temporary.open("w", encoding="utf-8") as out,
            GradingPool(workers, timeout) as pool,
        ):
            for record, verdict in _graded(lines, source.stat().st_size, pool, policy, counts):
                counts["right"] += verdict.equal
                counts["graded"] += 1
                record |= {"equal": verdict.equal, "how": verdict.how, "seconds": round(verdict.seconds, 6)}
                out.write(json.dumps(record) + "\n")
            counts["timeouts"], counts["deaths"] = pool.timeouts, pool.deaths
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    if not counts["graded"] and not counts["malformed"]:
        print(f"grade_answers: {str(source)!r} is empty: no line to grade", file=sys.stderr)
        return 1
    print(
        f"{counts['graded']} graded, {counts['right']} equal, {counts['no_answer']} without an answer, "
        f"{counts['timeouts']} timed out, {counts['deaths']} lost their worker, "
        f"{counts['malformed']} malformed",
        file=sys.stderr,
    )
    return counts["malformed"]


def _graded(
    lines: TextIO, size: int, pool: GradingPool, policy: GradingPolicy, counts: Counter[str]
) -> Iterator[tuple[dict[str, Any], Verdict]]:
    """Records with their verdicts in input order, a bounded number of them in flight."""
    from tqdm import tqdm

    waiting: list[tuple[dict[str, Any], Future[Verdict]]] = []
    with tqdm(total=size, unit="B", unit_scale=True, desc="grading", disable=None) as bar:
        for number, line in enumerate(lines, start=1):
            bar.update(len(line))
            if not line.strip():
                continue
            try:
                record = _record(line)
            except ValueError as error:
                counts["malformed"] += 1
                bar.write(f"line {number}: {error}; skipped", file=sys.stderr)
                continue
            if "pred" in record:
                record["extracted"] = record["pred"]
            else:
                record["extracted"] = extract_answer(record["response"], policy)
            counts["no_answer"] += not record["extracted"]
            waiting.append((record, pool.submit(record["extracted"], record["gold"], policy)))
            if len(waiting) >= _IN_FLIGHT:
                first, verdict = waiting.pop(0)
                yield first, verdict.result()
        for record, verdict in waiting:
            yield record, verdict.result()


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"no JSON ({error})") from None
    if not isinstance(record, dict):
        raise ValueError("no JSON object")
    if not isinstance(record.get("gold"), str):
        raise ValueError('no text under "gold"')
    if "pred" not in record and "response" not in record:
        raise ValueError('neither "pred" nor "response"')
    for key in ("pred", "response"):
        if key in record and not isinstance(record[key], str) and not (key == "pred" and record[key] is None):
            raise ValueError(f'no text under "{key}"')
    return record


def _parser() -> argparse.ArgumentParser:
    default = GradingPolicy()
    parser = Parser(prog="grade_answers", description=__doc__)
    parser.add_argument("--input", type=Path, required=True, help="JSON lines with gold and pred or response")
    parser.add_argument("--output", type=Path, required=True, help="the same lines with verdicts")
    parser.add_argument("--workers", type=int, default=2, help="comparing processes")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for one comparison")
    for name, allowed in CHOICES.items():
        parser.add_argument(f"--{name}", choices=allowed, default=getattr(default, name))
    parser.add_argument("--tolerance", type=float, default=default.tolerance, help="relative, if rounded")
    parser.add_argument("--last_number", action="store_true", help="fall back to a response's last number")
    return parser


if __name__ == "__main__":
    sys.exit(main())
