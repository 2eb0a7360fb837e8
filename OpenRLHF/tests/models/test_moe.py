"""When a balancing loss exists."""

import pytest
import torch
from transformers import AutoConfig, DeepseekV3Config, MixtralConfig, Qwen3MoeConfig

from openrlhf.config.model import ModelConfig
from openrlhf.errors import UserError
from openrlhf.models.moe import is_mixture_of_experts, router_balance
from toy_models import toy_config, toy_experts


def flags(coef: float = 0.1, reentrant: bool = False) -> ModelConfig:
    return ModelConfig(
        aux_loss_coef=coef, gradient_checkpointing=reentrant, gradient_checkpointing_use_reentrant=reentrant
    )


@pytest.mark.parametrize("make", [MixtralConfig, Qwen3MoeConfig, lambda: toy_experts().config])
def test_mixtures_of_experts_have_one_that_is_1_where_routing_is_uniform(make) -> None:
    config: AutoConfig = make()
    balance = router_balance(config, flags())
    assert balance is not None
    tokens = torch.zeros(10 * balance.experts, balance.experts)
    tokens += 1e-4 * torch.eye(balance.experts).repeat(10, 1)  # each expert is the first choice equally often
    # E · Σ f P with P = 1/E and f summing to the choices per token
    assert float(balance([tokens])) == pytest.approx(balance.top_k, rel=1e-3)


def test_dense_models_and_a_weight_of_zero_have_none() -> None:
    assert not is_mixture_of_experts(toy_config())
    assert router_balance(toy_config(), flags()) is None
    assert router_balance(MixtralConfig(), flags(0)) is None
    assert router_balance(MixtralConfig(), ModelConfig()) is None


def test_what_would_silently_train_without_it_is_refused() -> None:
    with pytest.raises(UserError, match="no balancing loss for deepseek_v3"):
        router_balance(DeepseekV3Config(), flags())
    with pytest.raises(UserError, match="reentrant"):
        router_balance(MixtralConfig(), flags(reentrant=True))
