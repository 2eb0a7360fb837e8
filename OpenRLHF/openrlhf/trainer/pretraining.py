"""Plain text whose language-model loss is added to the policy's (Ouyang et al. 2022, eq. 2)."""

from dataclasses import replace

from openrlhf.datasets.sampler import endless_batch
from openrlhf.experience.example import Example


class Pretraining:
    """samples: rows in which every token is scored. coef: weight of their mean loss per token (--ptx_coef)."""

    def __init__(self, samples: list[Example], batch_size: int, coef: float, seed: int) -> None:
        self._samples = samples
        self._batch_size = batch_size
        self._coef = coef
        self._seed = seed

    def examples(self, optimizer_step: int) -> list[Example]:
        """The rows of an optimiser step: a function of its number, so that a continued run sees the same."""
        order = endless_batch(len(self._samples), self._batch_size, seed=self._seed, number=optimizer_step)
        batch = [self._samples[index] for index in order]
        weight = self._coef / sum(len(example.scored) for example in batch)
        return [replace(example, weight=weight) for example in batch]
