"""Weights of 4 bits under LoRA: what is saved is what was trained. Needs bitsandbytes, which runs on a CPU too."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from openrlhf.config.model import LoraConfig, ModelConfig
from openrlhf.models.actor import Actor
from openrlhf.models.loader import load_actor
from openrlhf.models.parameters import FullParameters
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.saving import save_pretrained
from openrlhf.models.scores import Scores, ScoreSpec
from toy_models import byte_tokenizer, save_toy

pytest.importorskip("bitsandbytes")

CONFIG = ModelConfig(
    load_in_4bit=True, attn_implementation="sdpa", lora=LoraConfig(lora_rank=4, target_modules=("q_proj",))
)


def logprobs(actor: Actor) -> torch.Tensor:
    rows = RaggedRows.build([[1, 2, 3, 4, 5, 6]], [[2, 3, 4, 5]])
    return Scores(*actor(rows, ScoreSpec(rows.targets))).target_logprobs.detach()


def test_the_saved_model_is_dequantised_and_merged_and_says_what_the_trained_one_says(tmp_path: Path) -> None:
    save_toy(tmp_path / "base")
    actor = load_actor(str(tmp_path / "base"), CONFIG, trainable=True)
    for name, parameter in actor.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    full = FullParameters(actor)
    assert [(n, t.dtype, tuple(t.shape)) for n, t in full] == full.metadata()
    save_pretrained(actor, byte_tokenizer(), tmp_path / "saved", source=str(tmp_path / "base"))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert not hasattr(plain.config, "quantization_config")
    torch.testing.assert_close(logprobs(Actor(plain)), logprobs(actor), rtol=1e-4, atol=1e-4)
    original = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert (logprobs(Actor(original)) - logprobs(actor)).abs().max() > 1e-3
    assert actor.causal_lm.hf_quantizer is not None  # saving left the model as it was
