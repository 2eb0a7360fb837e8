#!/usr/bin/env python3
"""Makes the training data: Hendrycks MATH, level 3 to 5, each problem with the answer its solution boxes.

python data/data_preprocessing.py                             from the Hugging Face hub
python data/data_preprocessing.py --data_dir FOLDER           from local files
python data/data_preprocessing.py --exclude math500.jsonl     without the problems of a benchmark
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from openrlhf.datasets.hendrycks import HUB_NAME, read_folder, read_hub
from openrlhf.datasets.math_selection import (
    KEPT,
    read_excluded,
    render_records,
    render_report,
    select_rows,
)
from openrlhf.errors import UserError
from openrlhf.grading import grade
from openrlhf.utils.atomic import write_atomically

WARNING = """\
************************************************************************************************
* WARNING: the test split is part of this data, and MATH-500 is part of the test split.        *
* A model trained on it cannot be scored on MATH or MATH-500: it has seen the problems.        *
* Leave --splits at its default (train), or give the benchmark's file to --exclude.            *
************************************************************************************************"""


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_arguments(argv)
    try:
        preprocess(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def preprocess(args: argparse.Namespace) -> None:
    save_path = args.save_path or default_save_path(args.min_level, args.splits)
    if save_path.suffix not in (".json", ".jsonl"):
        raise UserError(f"--save_path {save_path}: give a name that ends in .json or .jsonl")
    excluded = read_excluded(args.exclude)
    rows = read_folder(args.data_dir, args.splits) if args.data_dir else read_hub(args.dataset, args.splits)
    selection = select_rows(
        rows, min_level=args.min_level, excluded=excluded, same=lambda one, other: grade(one, other).equal
    )
    print(render_report(selection, args.min_level))
    if not selection.records:
        raise UserError(f"no row of level {args.min_level} or above is left; nothing was written")
    write_atomically(save_path, render_records(selection.records, save_path))
    print(f"\n{selection.count(KEPT):,} records written to {save_path}")
    if "test" in args.splits:
        print(f"\n{WARNING}", file=sys.stderr)


def default_save_path(min_level: int, splits: Sequence[str]) -> Path:
    """Beside this script; data that contains the test split never takes the name of data that does not."""
    extra = "" if list(splits) == ["train"] else "_" + "_".join(splits)
    return Path(__file__).resolve().parent / f"math_level{min_level}to5{extra}.json"


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--dataset", default=HUB_NAME, help="name on the hub (default: %(default)s)")
    source.add_argument(
        "--data_dir",
        type=Path,
        help="local folder instead: hendrycks_math_{train,test}.jsonl(.gz), the original release"
        " (train/algebra/*.json), or one json, jsonl or parquet file per configuration",
    )
    parser.add_argument(
        "--splits",
        nargs="+",
        choices=("train", "test"),
        default=["train"],
        help="train (default), or train test for the published 9.2k set, which contains MATH-500",
    )
    parser.add_argument("--min_level", type=int, default=3, help="lowest level kept (default: %(default)s)")
    parser.add_argument(
        "--exclude",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="drop problems that occur in these",
    )
    parser.add_argument(
        "--save_path",
        type=Path,
        help="result, .json or .jsonl (default: beside this script, by level and splits)",
    )
    args = parser.parse_args(argv)
    args.splits = list(dict.fromkeys(args.splits))
    return args


if __name__ == "__main__":
    sys.exit(main())
