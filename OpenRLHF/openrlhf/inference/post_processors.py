"""What becomes of scored responses: the best of n, texts for conditional SFT, or pairs for iterative DPO.

Rows have "input", "output" and "reward"; names, results and order are those of 0.6.2.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from openrlhf.config.inference import TaskConfig

Row = dict[str, Any]

REWARD_TEMPLATE = "{input} <rm_score>: {reward} "


def process(name: str | None, rows: Sequence[Row], task: TaskConfig) -> tuple[list[Row], list[str]]:
    """The rows to write, and notes about what was left out. `name` is one of `PROCESSORS`; None changes nothing."""
    return PROCESSORS[name](rows, task) if name else (list(rows), [])


def best_of_n(rows: Sequence[Row], task: TaskConfig) -> tuple[list[Row], list[str]]:
    """Rejection sampling (Llama 2, arXiv 2307.09288, section 3.2): of each input's rows the one with the largest
    reward, the first of equal ones."""
    return [max(group, key=_reward) for group in by_input(rows)], []


def conditional_sft(rows: Sequence[Row], task: TaskConfig) -> tuple[list[Row], list[str]]:
    """Inputs that say the reward of what follows (arXiv 2308.12050).

    Under `--normalize_reward` rewards have mean 0 and standard deviation 1 over these rows. They are written with two
    decimals.
    """
    template = task.reward_template or REWARD_TEMPLATE
    rewards = [row["reward"] for row in rows]
    if task.normalize_reward:
        rewards = standardised(rewards)
    return [
        {
            **row,
            "input": template.replace("{reward}", f"{reward:.2f}").replace("{input}", row["input"]),
            "reward": reward,
        }
        for row, reward in zip(rows, rewards, strict=True)
    ], []


def preference_pairs(rows: Sequence[Row], task: TaskConfig) -> tuple[list[Row], list[str]]:
    """The best and the worst response of each input; no pair where all have the same reward."""
    groups = by_input(rows)
    pairs = []
    for group in groups:
        chosen, rejected = max(group, key=_reward), min(group, key=_reward)
        if chosen["reward"] > rejected["reward"]:
            pairs.append(
                {
                    "prompt": chosen["input"],
                    "chosen": chosen["output"],
                    "chosen_reward": chosen["reward"],
                    "rejected": rejected["output"],
                    "rejected_reward": rejected["reward"],
                }
            )
    left_out = len(groups) - len(pairs)
    note = f"{left_out} of {len(groups)} prompts give no pair: all their responses have the same reward."
    return pairs, [note] if left_out else []


PROCESSORS: dict[str, Callable[[Sequence[Row], TaskConfig], tuple[list[Row], list[str]]]] = {
    "rs": best_of_n,
    "csft": conditional_sft,
    "iter_dpo": preference_pairs,
}


def by_input(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with the same "input" together, in the order in which inputs occur first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["input"], []).append(row)
    return list(groups.values())


def standardised(rewards: Sequence[float]) -> list[float]:
    """(r − mean) / standard deviation (n − 1); zeros where all are equal."""
    mean = statistics.fmean(rewards)
    spread = statistics.stdev(rewards) if len(rewards) > 1 else 0.0
    return [(reward - mean) / spread if spread else 0.0 for reward in rewards]


def _reward(row: Row) -> float:
    return row["reward"]
