#!/usr/bin/env python3
"""Splits MAWPS and ASDiv into training and held-out problems, and writes a warm start of word problems of our own.

train.json                                    problem and answer, of both sets
benchmark/{mawps,asdiv}_held_out/test.jsonl   held-out problems, in a layout that the evaluation harness reads
benchmark/premise/test.jsonl                  some training problems: how often are samples right before training?
warm_start.jsonl                              input and output for train_sft

The texts of the warm start come from word_problems.py and the demo's author of two habits (openrlhf.demo.corpus):
careful solutions, hasty answers, half of them behind the answer as a hint. No problem of either set is among them.
"""

import argparse
import json
import sys
from pathlib import Path
from random import Random

from word_problems import problem

from openrlhf.demo.corpus import Habits, write_example
from openrlhf.errors import UserError
from openrlhf.evaluation.questions import sources
from openrlhf.utils.atomic import write_atomically
from openrlhf.utils.seeding import derive_seed

SETS = ("mawps", "asdiv")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="holds mawps and asdiv, as the harness finds them")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--held_out_problems", type=int, default=400, help="of each set")
    parser.add_argument("--premise_problems", type=int, default=100)
    parser.add_argument("--warm_start_texts", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        write(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def write(args: argparse.Namespace) -> None:
    training: list[dict] = []
    for name in SETS:
        found = sources.find(name, args.data_dir, "test")
        if isinstance(found, sources.Missing):
            raise UserError(found.advice)
        # The same text twice would be in both parts.
        rows = list({p.question: {"problem": p.question, "answer": p.gold} for p in found.problems if p.gold}.values())
        if len(rows) < 2 * args.held_out_problems:
            raise UserError(f"{name} has {len(rows)} problems: give a smaller --held_out_problems")
        Random(derive_seed(args.seed, "split", name)).shuffle(rows)
        write_lines(args.output_dir / "benchmark" / f"{name}_held_out" / "test.jsonl", rows[: args.held_out_problems])
        training += rows[args.held_out_problems :]
    Random(derive_seed(args.seed, "order")).shuffle(training)
    write_atomically(args.output_dir / "train.json", json.dumps(training, ensure_ascii=False, indent=1))
    write_lines(args.output_dir / "benchmark" / "premise" / "test.jsonl", training[: args.premise_problems])
    random = Random(derive_seed(args.seed, "warm start"))
    texts = [write_example(problem(random), Habits(careful=0.5), random) for _ in range(args.warm_start_texts)]
    write_lines(args.output_dir / "warm_start.jsonl", [{"input": e.prompt, "output": e.response} for e in texts])
    print(f"{len(training)} training problems, {args.held_out_problems} held out of each set, {len(texts)} texts")


def write_lines(path: Path, rows: list[dict]) -> None:
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
