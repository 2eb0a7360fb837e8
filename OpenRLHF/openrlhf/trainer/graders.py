"""Where rollouts get their rewards: reward functions and servers, or reward models on ranks of their own."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from openrlhf.experience.example import Example
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rewards.functions import Rewards
from openrlhf.rollout.engine import before_stop
from openrlhf.trainer.role_group import RoleGroup


class TextGrader:
    """Hands texts to reward functions or servers: prompt and response with special tokens kept, as in 0.6.2, but
    not the stop string that ended the response.

    The other columns of each rollout's row go with it.
    """

    def __init__(self, rewards: Rewards, tokenizer: Any, stops: Sequence[str] = ()) -> None:
        self._rewards = rewards
        self._tokenizer = tokenizer
        self._stops = stops

    def grade(self, batch: Sequence[Rollout]) -> "Future[list[float]]":
        decoded = self._tokenizer.batch_decode([r.token_ids for r in batch], skip_special_tokens=False)
        responses = [before_stop(text, self._stops) for text in decoded]
        texts = [r.prompt.text for r in batch]
        queries = [text + response for text, response in zip(texts, responses, strict=True)]
        columns = dict.fromkeys(name for r in batch for name in r.prompt.fields)
        fields = {name: [r.prompt.fields.get(name) for r in batch] for name in columns}
        return self._rewards.submit(queries, texts, [r.prompt.label for r in batch], fields)

    @property
    def reason(self) -> str:
        return self._rewards.reason or "its reward is NaN"

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Grades the first prompts with their labels as responses. UserError: that brings no rewards."""
        some = prompts[:2]
        queries, texts = [prompt.text + prompt.label for prompt in some], [prompt.text for prompt in some]
        columns = dict.fromkeys(name for prompt in some for name in prompt.fields)
        fields = {name: [prompt.fields.get(name) for prompt in some] for name in columns}
        self._rewards.check(queries, texts, [prompt.label for prompt in some], fields)

    def close(self) -> None:
        self._rewards.close()


class ModelGrader:
    """Rewards of reward models, summed: their value at the last token, the end-of-sequence token added where missing.

    Calls go out one after the other, since each is a collective of a role's ranks.
    """

    def __init__(self, models: Sequence[RoleGroup], eos_token_id: int) -> None:
        self._models = list(models)
        self._eos = eos_token_id
        self._thread = ThreadPoolExecutor(max_workers=1)

    def grade(self, batch: Sequence[Rollout]) -> "Future[list[float]]":
        return self._thread.submit(self._sums, [self._example(rollout) for rollout in batch])

    @property
    def reason(self) -> str:
        return "the reward model gave NaN"

    def _example(self, rollout: Rollout) -> Example:
        ids = rollout.prompt.token_ids + rollout.token_ids
        ids = ids if ids[-1] == self._eos else (*ids, self._eos)
        return Example(ids=ids, scored=(len(ids) - 1,), weight=1.0)

    def _sums(self, examples: Sequence[Example]) -> list[float]:
        pending = [model.begin_score(examples) for model in self._models]
        return [sum(values[0] for values in of_models) for of_models in zip(*(p() for p in pending), strict=True)]

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
