"""What sets the values of --advantage_estimator apart in the loop: which rollouts are trained on, and with what."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from openrlhf.datasets.prompts import Prompt
from openrlhf.objectives.intro import token_weights
from openrlhf.trainer.batching import Example
from openrlhf.trainer.rollouts import Rollout
from openrlhf.utils.seeding import derive_seed


class Algorithm(ABC):
    """A method: prepares each rollout batch once, and makes the examples of every optimiser batch."""

    def prepare(self, rollouts: Sequence[Rollout], kl_coef: float) -> tuple[list[Rollout], dict[str, float]]:
        """Adds to the rollouts what training needs (log-probabilities, values, advantages); figures to log.

        kl_coef: the present weight of KL in the reward.
        """
        return list(rollouts), {}

    @abstractmethod
    def examples(self, batch: Sequence[Rollout], step: int, on_policy: bool) -> list[Example]:
        """What is trained on of one optimiser batch, with weights normalised over all of it; may be nothing.

        on_policy: the policy has not moved since the rollouts, so that its log-probabilities should equal the
            engine's; only then are those handed on for comparison.
        """


class KeepCorrect(Algorithm):
    """Trains on the correct rationales alone: InTRO, and RAFT (Dong et al. 2023), its plain likelihood.

    hint: the token ids of InTRO's hint h(y) for a prompt; RAFT, which has no posterior, gives none.
    """

    def __init__(
        self, aggregation: str, seed: int, hint: Callable[[Prompt], tuple[int, ...]] = lambda prompt: ()
    ) -> None:
        self._hint = hint
        self._aggregation = aggregation
        self._seed = seed

    def examples(self, batch: Sequence[Rollout], step: int, on_policy: bool) -> list[Example]:
        kept = [rollout for rollout in batch if rollout.correct and rollout.token_ids]
        if not kept:
            return []
        weights = token_weights([len(rollout.token_ids) for rollout in kept], self._aggregation)
        return [self._example(rollout, weight, step, on_policy) for rollout, weight in zip(kept, weights, strict=True)]

    def _example(self, rollout: Rollout, weight: float, step: int, on_policy: bool) -> Example:
        prompt = rollout.prompt
        return Example(
            ids=prompt.token_ids + rollout.token_ids,
            scored=response_positions(rollout),
            weight=weight,
            hint=self._hint(prompt),
            hint_at=len(prompt.token_ids),
            seed=derive_seed(self._seed, "candidates", step, prompt.index, rollout.sample),
            columns={"engine": rollout.logprobs} if on_policy else {},
        )


def hint_ids(tokenizer: Any, template: str, answer: str) -> tuple[int, ...]:
    """h(y): the answer hint, tokenised on its own and without special tokens."""
    return tuple(tokenizer(template.replace("{answer}", answer), add_special_tokens=False)["input_ids"])


def response_positions(rollout: Rollout) -> tuple[int, ...]:
    """Where the response's tokens lie in prompt + response."""
    start = len(rollout.prompt.token_ids)
    return tuple(range(start, start + len(rollout.token_ids)))


def train_batches(
    rollouts: Sequence[Rollout], batch_size: int, *, seed: int, step: int, epochs: int = 1
) -> Iterator[list[Rollout]]:
    """Shuffles the sampled rationales and cuts them into optimiser batches; the last one may be smaller.

    A batch counts sampled rationales, trained on or not, so that the number of steps is known before the run.
    """
    for epoch in range(epochs):
        order = sorted(rollouts, key=lambda r: derive_seed(seed, "batches", step, epoch, r.prompt.index, r.sample))
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]
