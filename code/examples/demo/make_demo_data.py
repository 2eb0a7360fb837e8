#!/usr/bin/env python3
"""Writes everything the quickstart starts from: problems, a warm-start corpus and an untrained model.

math/hendrycks_math_{train,test}.jsonl   problems for InTRO, in the layout that data_preprocessing.py reads
warm_start.jsonl                         input and output for train_sft
benchmark/demo/test.jsonl                held-out problems in the layout of the evaluation harness
model/                                   tokenizer and randomly initialised weights
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from openrlhf.demo.corpus import Demo, Habits, make_demo, solution
from openrlhf.demo.starting_model import save_random_model, save_tokenizer
from openrlhf.errors import UserError
from openrlhf.utils.atomic import new_folder, write_atomically
from openrlhf.utils.seeding import derive_seed

MAX_LENGTH = 512  # tokens that the model can attend to
TEST_PROBLEMS = 120  # MATH has a test split, so the demo has one


def write_json_lines(path: Path, rows: Iterable[dict]) -> None:
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_texts(demo: Demo, folder: Path) -> None:
    for split, problems in (("train", demo.train), ("test", demo.test)):
        rows = (
            {
                "problem": problem.text,
                "level": f"Level {problem.level}",
                "type": problem.subject,
                "solution": solution(problem, problem.answer).strip(),
            }
            for problem in problems
        )
        write_json_lines(folder / "math" / f"hendrycks_math_{split}.jsonl", rows)
    held_out = (
        {
            "idx": index,
            "problem": problem.text,
            "answer": problem.answer,
            "level": problem.level,
            "subject": problem.subject,
        }
        for index, problem in enumerate(demo.held_out)
    )
    write_json_lines(folder / "benchmark" / "demo" / "test.jsonl", held_out)
    write_json_lines(folder / "warm_start.jsonl", ({"input": e.prompt, "output": e.response} for e in demo.warm_start))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--train_problems", type=int, default=1280, help="problems for InTRO")
    parser.add_argument("--held_out_problems", type=int, default=600, help="problems to score models on")
    parser.add_argument("--warm_start_texts", type=int, default=40000, help="texts for the warm start")
    args = parser.parse_args()

    try:
        demo = make_demo(
            args.seed,
            train=args.train_problems,
            test=TEST_PROBLEMS,
            held_out=args.held_out_problems,
            examples=args.warm_start_texts,
            habits=Habits(),
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_texts(demo, args.output_dir)
    with new_folder(args.output_dir / "model") as folder:
        save_tokenizer((e.prompt + e.response for e in demo.warm_start), folder, MAX_LENGTH)
        save_random_model(folder, derive_seed(args.seed, "demo model"), MAX_LENGTH)
    print(f"{args.output_dir}: {len(demo.train)} training, {len(demo.held_out)} held-out problems, ", end="")
    print(f"{len(demo.warm_start)} warm-start texts and a model of 0.6 M parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
