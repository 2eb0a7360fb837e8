"""Makes rollouts: samples rationales from the engines and grades them while others are still being written."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from openrlhf.datasets.prompts import Prompt
from openrlhf.rewards.functions import Rewards
from openrlhf.rollout.engine import Completion, Request, RolloutEngine, Sampling
from openrlhf.utils.seeding import derive_seed


@dataclass(frozen=True)
class Rollout:
    """One sampled rationale and its reward (NaN where grading failed)."""

    prompt: Prompt
    sample: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    text: str
    reward: float = float("nan")

    @property
    def correct(self) -> bool:
        """Rewards are 0 or 1 for InTRO; a reward function of another scale counts as right above one half."""
        return self.reward > 0.5


class RolloutMaker:
    """Prompts in, graded rollouts out, in the order of prompts and samples however they were scheduled."""

    def __init__(self, engines: RolloutEngine, rewards: Rewards, tokenizer: Any, seed: int) -> None:
        self._engines = engines
        self._rewards = rewards
        self._tokenizer = tokenizer
        self._seed = seed

    def make(
        self,
        prompts: Sequence[Prompt],
        samples: int,
        sampling: Sampling,
        *,
        purpose: str,
        step: int,
        hints: Sequence[tuple[int, ...]] | None = None,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> list[Rollout]:
        """`samples` rationales for each prompt.

        purpose, step: with prompt and sample they determine every request's seed.
        hints: token ids to put between prompt and rationale, one per prompt.
        """
        requests = [
            Request(
                key=(row, sample),
                prompt_ids=prompt.token_ids + (hints[row] if hints else ()),
                seed=derive_seed(self._seed, purpose, step, prompt.index, sample),
            )
            for row, prompt in enumerate(prompts)
            for sample in range(samples)
        ]
        ungraded: dict[tuple[int, ...], Rollout] = {}
        grading: list[tuple[list[tuple[int, ...]], Future[list[float]]]] = []
        for finished in self._engines.generate(requests, sampling):
            batch = [self._rollout(prompts[completion.key[0]], completion) for completion in finished]
            ungraded.update({completion.key: rollout for completion, rollout in zip(finished, batch, strict=True)})
            grading.append(([completion.key for completion in finished], self._grade(batch)))
            on_progress(len(ungraded))
        rewards = {key: value for keys, future in grading for key, value in zip(keys, future.result(), strict=True)}
        return [replace(ungraded[request.key], reward=rewards[request.key]) for request in requests]

    def _rollout(self, prompt: Prompt, completion: Completion) -> Rollout:
        return Rollout(
            prompt=prompt,
            sample=completion.key[1],
            token_ids=completion.token_ids,
            logprobs=completion.logprobs,
            finish_reason=completion.finish_reason,
            text=completion.text,
        )

    def _grade(self, batch: Sequence[Rollout]) -> "Future[list[float]]":
        """Queries are prompt and response with special tokens kept, as 0.6.2 hands them to reward functions."""
        responses = self._tokenizer.batch_decode([r.token_ids for r in batch], skip_special_tokens=False)
        texts = [r.prompt.text for r in batch]
        queries = [text + response for text, response in zip(texts, responses, strict=True)]
        return self._rewards.submit(queries, texts, [r.prompt.label for r in batch])
