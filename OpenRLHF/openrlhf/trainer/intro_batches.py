"""From graded rollouts to InTRO's optimiser batches."""

from collections.abc import Iterator, Sequence
from typing import Any

from openrlhf.objectives.intro import token_weights
from openrlhf.trainer.batching import Example
from openrlhf.trainer.rollouts import Rollout
from openrlhf.utils.seeding import derive_seed


def hint_ids(tokenizer: Any, template: str, answer: str) -> tuple[int, ...]:
    """h(y): the answer hint, tokenised on its own and without special tokens."""
    return tuple(tokenizer(template.replace("{answer}", answer), add_special_tokens=False)["input_ids"])


def train_batches(
    rollouts: Sequence[Rollout], batch_size: int, *, seed: int, step: int, epochs: int = 1
) -> Iterator[list[Rollout]]:
    """Shuffles the sampled rationales and cuts them into optimiser batches; the last one may be smaller.

    A batch counts sampled rationales, kept or not, so that the number of steps is known before the run.
    """
    for epoch in range(epochs):
        order = sorted(rollouts, key=lambda r: derive_seed(seed, "batches", step, epoch, r.prompt.index, r.sample))
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]


def examples(
    batch: Sequence[Rollout],
    tokenizer: Any,
    *,
    answer_template: str,
    aggregation: str,
    seed: int,
    step: int,
    on_policy: bool,
) -> list[Example]:
    """The kept (correct) rationales of one optimiser batch, with weights normalised over all of them.

    on_policy: the policy has not moved since the rollouts, so that its log-probabilities should equal the
        engine's; only then are those handed on for comparison.
    """
    kept = [rollout for rollout in batch if rollout.correct and rollout.token_ids]
    if not kept:
        return []
    weights = token_weights([len(rollout.token_ids) for rollout in kept], aggregation)
    made = []
    for rollout, weight in zip(kept, weights, strict=True):
        prompt, response = rollout.prompt.token_ids, rollout.token_ids
        made.append(
            Example(
                ids=prompt + response,
                scored=tuple(range(len(prompt), len(prompt) + len(response))),
                weight=weight,
                hint=hint_ids(tokenizer, answer_template, rollout.prompt.label),
                hint_at=len(prompt),
                seed=derive_seed(seed, "candidates", step, rollout.prompt.index, rollout.sample),
                columns={"engine": rollout.logprobs} if on_policy else {},
            )
        )
    return made
