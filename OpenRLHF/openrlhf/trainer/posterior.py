"""Who computes the answer-conditioned distribution p: the current weights, a moving average, or the starting model."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openrlhf.config.method import PosteriorSettings
from openrlhf.config.reinforcement import RLConfig
from openrlhf.models.actor import Actor
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.scorer import ScoringHead
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.trainer.frozen import FrozenActor
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.weight_average import WeightAverage


class OnlinePosterior:
    """The policy itself, as published: p and q drift together, which can end in collapse."""

    head: ScoringHead | None = None

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def hidden(self, rows: RaggedRows) -> Tensor:
        self._engine.eval()  # LoRA's dropout must not blur the posterior
        with torch.no_grad():
            hidden = self._engine(rows)
        self._engine.train()
        return hidden

    def scores(self, rows: RaggedRows, spec: ScoreSpec) -> Scores:
        self._engine.eval()
        with torch.no_grad():
            scores = Scores._make(self._engine(rows, spec)[: len(Scores._fields)])
        self._engine.train()
        return scores

    def after_step(self) -> None:
        pass

    def save(self, folder: Path, rank: int) -> None:
        pass

    def load(self, folder: Path, rank: int) -> None:
        pass


class InitialPosterior(OnlinePosterior):
    """The frozen starting model."""

    def __init__(self, frozen: FrozenActor) -> None:
        self._frozen = frozen
        self.head = frozen.actor.head

    def hidden(self, rows: RaggedRows) -> Tensor:
        return self._frozen.hidden(rows)

    def scores(self, rows: RaggedRows, spec: ScoreSpec) -> Scores:
        return self._frozen.scores(rows, spec)


class EmaPosterior(InitialPosterior):
    """An exponential moving average of the policy's weights, moved after every optimiser step."""

    def __init__(self, frozen: FrozenActor, policy: Actor, decay: float) -> None:
        super().__init__(frozen)
        self._average = WeightAverage(policy.causal_lm, decay)
        self._targets = list(frozen.actor.causal_lm.parameters())

    def after_step(self) -> None:
        self._average.update()
        self._average.copy_to(self._targets)

    def save(self, folder: Path, rank: int) -> None:
        self._average.save(folder / f"posterior_ema_rank{rank}.safetensors")

    def load(self, folder: Path, rank: int) -> None:
        self._average.load(folder / f"posterior_ema_rank{rank}.safetensors")
        self._average.copy_to(self._targets)


def supply_frozen_models(learner: Learner, config: RLConfig, pad_token_id: int) -> None:
    """Gives the learner the posterior that the method names and, where the reference has no ranks of its own, that.

    The starting model is loaded once, also where it is both.
    """
    method, path = config.method, str(config.model.pretrain)
    kind = method.posterior if isinstance(method, PosteriorSettings) else None
    if kind == "initial" or (config.needs_reference and not config.reference_is_a_role):
        learner.reference = FrozenActor(path, config, pad_token_id, offload=config.placement.ref_reward_offload)
    if kind == "initial":
        assert learner.reference is not None
        learner.posterior = InitialPosterior(learner.reference)
    elif kind == "ema":
        assert isinstance(learner.network, Actor)
        assert isinstance(method, PosteriorSettings)
        average = FrozenActor(path, config, pad_token_id)
        learner.posterior = EmaPosterior(average, learner.network, method.posterior_ema)
    elif kind == "online":
        learner.posterior = OnlinePosterior(learner.engine)
