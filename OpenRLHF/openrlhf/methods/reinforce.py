"""REINFORCE++ (Hu 2025): discounted returns, normalised over the batch."""

from dataclasses import dataclass
from typing import ClassVar

from openrlhf.methods.policy_gradient import PolicyGradient


@dataclass(frozen=True)
class Reinforce(PolicyGradient):
    name: ClassVar[str] = "reinforce"
    title: ClassVar[str] = "REINFORCE++"
    in_openrlhf: ClassVar[bool] = True
    normalises: ClassVar[bool] = True
