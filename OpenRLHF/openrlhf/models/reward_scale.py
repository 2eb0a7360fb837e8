"""Mean and spread of a reward model's rewards, which train_rm leaves in its config.json for --normalize_reward."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from openrlhf.errors import UserError
from openrlhf.models.loader import load_config


@dataclass(frozen=True)
class RewardScale:
    """Rewards of the samples that were held out when the model was trained: mean and standard deviation."""

    mean: float = 0.0
    std: float = 1.0

    def normalized(self, rewards: Tensor) -> Tensor:
        """(r − mean) / std."""
        return (rewards - self.mean) / max(self.std, 1e-8)


def reward_scale(path: str) -> RewardScale:
    """The scale stored with the model at `path`.

    Raises:
        UserError: its config.json has no usable `mean` and `std`.
    """
    config = load_config(path)
    mean, std = (_number(getattr(config, name, None)) for name in ("mean", "std"))
    if math.isnan(mean) or not std >= 0:
        raise UserError(
            f"--normalize_reward: the config.json of {path!r} has no usable mean and std of its rewards: train the"
            " model with train_rm, or leave the flag out"
        )
    return RewardScale(mean, std)


def _number(value: Any) -> float:
    """NaN for anything but a finite number."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan
