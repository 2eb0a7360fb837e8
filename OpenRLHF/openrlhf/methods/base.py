"""What a method does. Everything that the trainer, the plan and the commands know of one is said here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.method import AnswerHint, OfflineMethodConfig, RLMethodConfig
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.reinforcement import RLConfig
from openrlhf.experience.example import Example
from openrlhf.experience.rollout import Rollout
from openrlhf.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

# Numbers for the tokens of each response, float32 [its length], by name.
Columns = Mapping[str, "Sequence[Tensor]"]


@dataclass(frozen=True)
class RLMethod(RLMethodConfig, ABC):
    """A method of reinforcement learning: a frozen dataclass whose fields are its settings, each with a flag.

    Of every rollout batch: `outcomes` chooses the rollouts to train on; those are scored by the roles that the method
    needs; `columns` makes numbers per token of all that. Of every optimiser batch: `weights`, then the `objective`'s
    loss on the ranks.
    """

    def outcomes(self, group: Sequence[Rollout]) -> list[float | None]:
        """One number for each response to the same prompt, None for those that are not trained on: by default the
        reward of every response that has one."""
        return [None if math.isnan(r.reward) or not r.token_ids else r.reward for r in group]

    def hint(self, rollout: Rollout, group: Sequence[Rollout]) -> str:
        """What the posterior reads between prompt and response; "" for nothing. group: all responses to the prompt."""
        return ""

    def hints(self, rollout: Rollout, group: Sequence[Rollout]) -> Sequence[str]:
        """The same for methods with several posterior rows: the first is p's, the others together are what it is
        contrasted with. Without any, the posterior reads nothing for this response: p is then the policy itself."""
        return [self.hint(rollout, group)]

    def columns(
        self, outcomes: Sequence[float], scored: Columns, config: RLConfig, kl_coef: float
    ) -> tuple[Columns, dict[str, float]]:
        """Numbers for the tokens of the trained responses, by name, and figures to log.

        outcomes: of the trained responses. scored: what roles said of their tokens: "engine" (log-probabilities of
        sampling), "value" where there is a critic, "reference" where a reference model has ranks of its own, and then
        also "old_logprob" where `needs_old_logprobs` (without a reference it is empty for some responses, whose first
        update reads it off its own pass). kl_coef: the present weight of KL.
        """
        return {}, {}

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        """c_b, the factor of each token's loss in the trained responses of one optimiser batch, by their lengths in
        tokens. By default responses count alike: a mean over responses of the mean over their tokens."""
        return [1.0 / (len(lengths) * n) for n in lengths]

    def without_signal(self, group: Sequence[Rollout]) -> bool:
        """Whether other prompts may be sampled in the place of this one."""
        return False

    def refill_groups(self, prompts: int) -> int:
        """How many prompts may be sampled so in a step of `prompts`."""
        return 0

    @property
    def guided_samples(self) -> int:
        """Responses to sample with the prompt's hint where none of its responses is right; needs an `AnswerHint`."""
        return 0

    def step_figures(self, groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
        """Further figures of a rollout batch; the rollouts say whether they are trained on."""
        return {}

    @abstractmethod
    def objective(self, config: RLConfig) -> Objective:
        """The loss, built anew on every rank."""


def token_mean(lengths: Sequence[int]) -> list[float]:
    """`weights` by which every token of the batch counts alike."""
    return [1.0 / sum(lengths)] * len(lengths)


def method_of(config: RLConfig) -> RLMethod:
    """The configuration's method, as what it does: `config` knows its settings alone."""
    assert isinstance(config.method, RLMethod)
    return config.method


@dataclass(frozen=True)
class HintedMethod(AnswerHint, RLMethod):
    """A method whose posterior reads the gold answer."""

    def hint(self, rollout: Rollout, group: Sequence[Rollout]) -> str:
        return self.prompt_hint(rollout.prompt.label, rollout.prompt.fields)


@dataclass(frozen=True)
class CorrectOnly(RLMethod):
    """A method that trains on correct responses alone, so that there is nothing to clip or to compare."""

    default_reward: ClassVar[str | None] = "math"

    def outcomes(self, group: Sequence[Rollout]) -> list[float | None]:
        return [r.reward if r.correct and r.token_ids else None for r in group]


@dataclass(frozen=True)
class FrozenModel:
    """A model that is loaded beside the one that is trained. offload: kept in CPU memory between uses."""

    path: str
    offload: bool


@dataclass(frozen=True)
class OfflineMethod(OfflineMethodConfig, ABC):
    """A method that trains on fixed data.

    scalar_head: the name of the layer that gives a number; None trains a language model.
    """

    @property
    def scalar_head(self) -> str | None:
        return None

    def reference_model(self, config: OfflineConfig) -> FrozenModel | None:
        """Whose log-probabilities the column "reference" holds."""
        return None

    def posterior_model(self, config: OfflineConfig) -> FrozenModel | None:
        """Whose distribution the objective's posterior is."""
        return None

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        """Changes the tokenizer before anything is read with it."""

    def check(self, config: OfflineConfig, tokenizer: Any) -> None:
        """UserError where further models do not fit; before data are read."""

    @abstractmethod
    def samples(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig
    ) -> tuple[list[tuple[Example, ...]], list[str]]:
        """The rows of each sample, and notes about what was cut or left out."""

    @abstractmethod
    def objective(self, config: OfflineConfig, tokenizer: Any) -> Objective:
        """The loss."""
