"""What a rollout engine is: token ids in, token ids and log-probabilities out.

Trainer and evaluation know only this file. Nothing here imports vLLM, CUDA or Ray.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from openrlhf.errors import UserError

Key = tuple[int, ...]


@dataclass(frozen=True)
class Sampling:
    """How to sample. Temperature 0 is greedy. `top_k` -1 and `top_p` 1.0 cut nothing.

    repetition_penalty: logits of tokens that prompt or completion hold already are divided by it where they are
        positive and multiplied where they are negative, before the temperature; 1.0 changes nothing.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    repetition_penalty: float = 1.0
    max_new_tokens: int = 1024
    stop_token_ids: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1:
            raise UserError(f"cannot sample with {self}: temperature >= 0, 0 < top_p <= 1, max_new_tokens >= 1")
        if not 0 < self.repetition_penalty < math.inf:
            raise UserError(
                f"a repetition penalty of {self.repetition_penalty} is out of range: 1 is none, 1.2 is strong"
            )


@dataclass(frozen=True)
class Request:
    """One completion to sample. `key` names it for the caller, e.g. (prompt, sample); it comes back with it.

    `seed` belongs to this request alone, so its sample does not depend on what else is being generated.
    """

    key: Key
    prompt_ids: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Completion:
    """One sampled completion.

    token_ids: the ids as the engine produced them, the end-of-sequence token included when it was generated.
    logprobs: one per token, natural log, under the model's own distribution (temperature 1, nothing cut).
    finish_reason: "stop" (end-of-sequence, stop id or stop string) or "length".
    text: the decoded completion without special tokens and without the stop string; for reading and
        grading, never for training.
    versions: one per token, which weights sampled it; as `finish_weight_update` called them, 0 before the first.
    """

    key: Key
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    text: str
    versions: tuple[int, ...] = ()


def before_stop(text: str, stops: Sequence[str]) -> str:
    """What stands before the first of the stop strings; the whole text where there is none."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


class RolloutEngine(Protocol):
    """One copy of the model that generates. Implementations: `vllm_engine`, `hf_engine`."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Completion]]:
        """Yields completions in the order in which they finish, some at a time; each request exactly once."""
        ...

    def sleep(self, keep_weights: bool) -> None:
        """Gives the memory of weights and cache back; does nothing where it is not supported.

        keep_weights: whether the same weights are wanted again; False where others are loaded after `wake_weights`.
        """
        ...

    def wake_weights(self) -> None:
        """Memory for weights again. Until `wake_cache` nothing can be generated."""
        ...

    def wake_cache(self) -> None: ...

    def shutdown(self) -> None: ...
