"""Sums and counts that can be added up over micro-batches and ranks before anything is divided."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Tally:
    """sums and counts give means; totals add up; maxima keep the largest; samples keep some raw values."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    maxima: dict[str, float] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, values: Tensor) -> None:
        """Counts every element of `values` towards the mean of `name`."""
        self.sums[name] = self.sums.get(name, 0.0) + float(values.sum(dtype=torch.float64))
        self.counts[name] = self.counts.get(name, 0.0) + values.numel()

    def add_total(self, name: str, value: float) -> None:
        self.totals[name] = self.totals.get(name, 0.0) + value

    def add_maximum(self, name: str, values: Tensor) -> None:
        if values.numel():
            self.maxima[name] = max(self.maxima.get(name, float("-inf")), float(values.max()))

    def add_samples(self, name: str, values: Tensor, limit: int = 2048) -> None:
        """Keeps at most `limit` evenly spaced elements, enough for a median."""
        flat = values.flatten()
        stride = max(1, -(-flat.numel() // limit))
        self.samples.setdefault(name, []).extend(flat[::stride].tolist())

    def merge(self, other: "Tally") -> None:
        for mine, theirs in (
            (self.sums, other.sums),
            (self.counts, other.counts),
            (self.totals, other.totals),
        ):
            for name, value in theirs.items():
                mine[name] = mine.get(name, 0.0) + value
        for name, value in other.maxima.items():
            self.maxima[name] = max(self.maxima.get(name, float("-inf")), value)
        for name, values in other.samples.items():
            self.samples.setdefault(name, []).extend(values)

    def metrics(self) -> dict[str, float]:
        """Means under their names, totals, maxima as `name_max`, medians of samples as `name_median`."""
        out = {name: self.sums[name] / self.counts[name] for name in self.sums if self.counts[name]}
        out.update(self.totals)
        out.update({f"{name}_max": value for name, value in self.maxima.items()})
        for name, values in self.samples.items():
            if values:
                out[f"{name}_median"] = float(torch.tensor(values).median())
        return out
