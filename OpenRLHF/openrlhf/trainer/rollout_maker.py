"""Makes rollouts: samples rationales from the engines and grades them while others are still being written."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rollout.engine import Completion, Request, RolloutEngine, Sampling
from openrlhf.utils.seeding import derive_seed


class Grader(Protocol):
    """Gives rollouts their rewards, in the background."""

    def grade(self, batch: Sequence[Rollout]) -> "Future[list[float]]":
        """One reward per rollout, NaN where grading failed."""
        ...

    @property
    def reason(self) -> str:
        """Why the last rollout without a reward has none."""
        ...

    def close(self) -> None: ...


class RolloutMaker:
    """Prompts in, graded rollouts out, in the order of prompts and samples however they were scheduled.

    last_step: behind which there are none.
    """

    last_step: int | None = None

    def __init__(self, engines: RolloutEngine, grader: Grader, seed: int, max_failures: float = 1.0) -> None:
        """max_failures: the share of rollouts that may stay without a reward."""
        self._engines = engines
        self._grader = grader
        self._seed = seed
        self._max_failures = max_failures

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

        Raises:
            UserError: too many of them could not be graded.
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
            grading.append(([completion.key for completion in finished], self._grader.grade(batch)))
            on_progress(len(ungraded))
        rewards = {key: value for keys, future in grading for key, value in zip(keys, future.result(), strict=True)}
        failed = sum(map(math.isnan, rewards.values()))
        if failed > self._max_failures * len(requests):
            raise UserError(
                f"{failed} of {len(requests)} responses got no reward, more than --max_reward_failures"
                f" {self._max_failures:g} allows; the last one because {self._grader.reason}"
            )
        return [replace(ungraded[request.key], reward=rewards[request.key]) for request in requests]

    def figures(self, step: int) -> dict[str, float]:
        """What is logged of the making of a step's rollouts; once."""
        return {}

    def _rollout(self, prompt: Prompt, completion: Completion) -> Rollout:
        return Rollout(
            prompt=prompt,
            sample=completion.key[1],
            token_ids=completion.token_ids,
            logprobs=completion.logprobs,
            finish_reason=completion.finish_reason,
            text=completion.text,
            versions=completion.versions,
        )
