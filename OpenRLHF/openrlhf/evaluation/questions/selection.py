"""Which sets are to be had, and which of their problems are taken."""

import random
from collections.abc import Sequence
from pathlib import Path

from openrlhf.config.evaluation import QuestionsConfig
from openrlhf.errors import UserError
from openrlhf.evaluation.questions import sources
from openrlhf.evaluation.questions.problems import Problem
from openrlhf.utils.seeding import derive_seed


def find_sets(names: Sequence[str], data_dir: Path, split: str) -> list[sources.Found]:
    """Reads the sets that are to be had; names the others and what to do about them, first of all."""
    results = [sources.find(name, data_dir, split) for name in names]
    missing = [result for result in results if isinstance(result, sources.Missing)]
    if missing:
        print(f"{len(missing)} of {len(results)} sets were not found and are left out:")
        for result in missing:
            print(f"  {result.advice}")
    return [result for result in results if isinstance(result, sources.Found)]


def select(problems: Sequence[Problem], name: str, config: QuestionsConfig, seed: int) -> list[Problem]:
    """--shuffle, --num_test_sample, --start and --end in this order; problems without a gold are left out."""
    chosen = list(problems)
    if config.shuffle:
        random.Random(derive_seed(seed, "shuffle", name)).shuffle(chosen)
    if config.num_test_sample >= 0:
        chosen = chosen[: config.num_test_sample]
    chosen = chosen[config.start : config.end if config.end != -1 else None]
    if without := [p.index for p in chosen if not p.gold]:
        print(f"{name}: {len(without)} problems have no gold and are left out: rows {without[:10]}")
    chosen = [p for p in chosen if p.gold]
    if not chosen:
        raise UserError(f"{name}: --num_test_sample, --start and --end leave no problem of {len(problems)}")
    return chosen
