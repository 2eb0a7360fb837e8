"""RAFT (Dong et al. 2023): the likelihood of the correct responses."""

from dataclasses import dataclass
from typing import Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.methods.base import CorrectOnly
from openrlhf.objectives.base import Objective
from openrlhf.objectives.likelihood import LikelihoodObjective


@dataclass(frozen=True)
class Raft(CorrectOnly):
    name: ClassVar[str] = "raft"
    title: ClassVar[str] = "RAFT"
    metrics: ClassVar[dict[str, str]] = {"nll": "mean negative log-likelihood of the trained tokens"}

    def describe(self, config: Any) -> str:
        return "RAFT: the likelihood of the correct rationales"

    def trained_temperature(self, config: Any) -> float:
        return 1.0

    def objective(self, config: RLConfig) -> Objective:
        return LikelihoodObjective("nll")
