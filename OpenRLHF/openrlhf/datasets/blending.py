"""Mixes several data sources by probability."""

import math
from pathlib import Path
from typing import Literal

from openrlhf.datasets.files import Record
from openrlhf.datasets.sources import load_records
from openrlhf.errors import UserError

Stop = Literal["first_exhausted", "all_exhausted"]


def load_blend(
    specs: str,
    probs: str,
    *,
    split: str,
    seed: int,
    max_samples: float = math.inf,
    stop: Stop = "first_exhausted",
    required: bool = True,
) -> list[Record]:
    """Rows of all sources in `specs` (separated by commas), mixed with probabilities `probs`, as in 0.6.2.

    stop: mixing ends when the first source is used up, or goes on, repeating rows, until all are
        (preference data).
    max_samples: cuts every source before mixing, and the mixture.
    required: False leaves sources without this split out.
    Raises UserError: see `sources.load_records` and `parse_probabilities`.
    """
    names = source_names(specs)
    weights = parse_probabilities(probs, names)
    limit = None if math.isinf(max_samples) else int(max_samples)
    sources = [load_records(name, split, required=required)[:limit] for name in names]
    present = [(rows, weight) for rows, weight in zip(sources, weights, strict=True) if rows]
    if not present:
        return []
    order = mixing_order([len(rows) for rows, _ in present], [weight for _, weight in present], seed, stop)
    return [present[source][0][row] for source, row in order[:limit]]


def source_names(specs: str) -> list[str]:
    """One or more. UserError for none."""
    whole = Path(specs).expanduser().exists()  # a path may hold a comma itself
    names = [specs] if whole else [name.strip() for name in specs.split(",") if name.strip()]
    if not names:
        raise UserError(f"no data source in {specs!r}: give files, folders or hub names, separated by commas")
    return names


def parse_probabilities(text: str, names: list[str]) -> list[float]:
    """Positive weights, one per name. UserError for another number of them, or for anything else."""
    parts = text.split(",")
    try:
        weights = [float(part) for part in parts]
    except ValueError:
        weights = []
    if len(parts) != len(names) or not weights or not all(0 < weight < math.inf for weight in weights):
        raise UserError(
            f"{len(names)} data sources ({', '.join(names)}) need {len(names)} positive probabilities,"
            f" separated by commas; found {text!r}"
        )
    return weights


def mixing_order(sizes: list[int], weights: list[float], seed: int, stop: Stop) -> list[tuple[int, int]]:
    """Pairs (source, row) in mixed order; rows of one source stay in order. Weights need not sum to 1."""
    if len(sizes) == 1:
        return [(0, row) for row in range(sizes[0])]
    import datasets

    indices = [
        datasets.Dataset.from_dict({"source": [source] * size, "row": list(range(size))})
        for source, size in enumerate(sizes)
    ]
    shares = [weight / sum(weights) for weight in weights]
    mixed = datasets.interleave_datasets(indices, probabilities=shares, seed=seed, stopping_strategy=stop)
    return list(zip(mixed["source"], mixed["row"], strict=True))
