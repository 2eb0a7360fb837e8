#!/usr/bin/env python3
"""Writes pairs of responses for train_rm: for each demo problem the careful solution, preferred to a hasty wrong one.

Problems come from what make_demo_data.py wrote: the test split of its math folder for held-out pairs, its train split
for the others. Rows: prompt, chosen, rejected.
"""

import argparse
import json
import sys
from pathlib import Path
from random import Random

from openrlhf.datasets.files import read_file
from openrlhf.errors import UserError
from openrlhf.grading import extract_answer
from openrlhf.utils.atomic import write_atomically


def pairs(file: Path, random: Random) -> list[dict[str, str]]:
    """The hasty answer is that of another problem, drawn until it differs."""
    rows = read_file(file)
    answers = [extract_answer(row["solution"]) for row in rows]
    made = []
    for row, answer in zip(rows, answers, strict=True):
        wrong = random.choice([other for other in answers if other != answer])
        chosen = " " + row["solution"]
        made.append({"prompt": row["problem"], "chosen": chosen, "rejected": rf" Clearly $\boxed{{{wrong}}}$."})
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="--output_dir of make_demo_data.py")
    parser.add_argument("--output_dir", type=Path, required=True, help="for train.jsonl and test.jsonl")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        for split in ("train", "test"):
            made = pairs(args.data_dir / "math" / f"hendrycks_math_{split}.jsonl", Random(args.seed))
            write_atomically(args.output_dir / f"{split}.jsonl", "".join(json.dumps(row) + "\n" for row in made))
            print(f"{args.output_dir / split}.jsonl: {len(made)} pairs")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
