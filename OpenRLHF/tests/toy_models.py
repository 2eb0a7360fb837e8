"""A tiny random Qwen2 and a byte-level tokenizer, made on the spot: tests need no hub and no stored weights."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForSequenceClassification,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """256 bytes, then <|endoftext|> (256) and <|pad|> (257)."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|pad|>")


# Heads of 32 dimensions: the smallest that vLLM has CPU kernels for.
SETTINGS: dict = {
    "vocab_size": 258,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
    "initializer_range": 0.15,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": 256,
    "pad_token_id": 257,
}


def toy_config(**changes: object) -> Qwen2Config:
    return Qwen2Config(**{**SETTINGS, **changes})


def toy_model(seed: int = 0, **changes: object) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    return Qwen2ForCausalLM(toy_config(**changes)).eval()


def save_toy(folder: Path, seed: int = 0, **changes: object) -> str:
    """A complete model folder; returns its path."""
    model = toy_model(seed, **changes)
    model.generation_config.eos_token_id = 256
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return str(folder)


def toy_experts(seed: int = 0, **changes: object) -> Qwen2MoeForCausalLM:
    """A mixture of four experts, two of them for each token."""
    experts: dict = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        **changes,
    }
    torch.manual_seed(seed)
    return Qwen2MoeForCausalLM(Qwen2MoeConfig(**{**SETTINGS, **experts})).eval()


def save_toy_reward_model(folder: Path, seed: int = 0, head: str = "score", **said: object) -> str:
    """A folder as transformers writes it, its last layer named `head`; `said` is added to config.json."""
    torch.manual_seed(seed)
    model = Qwen2ForSequenceClassification(toy_config(num_labels=1)).eval()
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights[f"{head}.weight"] = weights.pop("score.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **said}))
    return str(folder)


def toy_reward(seed: int, ids: list[int]) -> float:
    """What the toy reward model of this seed gives a row, by transformers' own class."""
    torch.manual_seed(seed)
    model = Qwen2ForSequenceClassification(toy_config(num_labels=1)).eval()
    with torch.no_grad():
        return float(model(torch.tensor([ids])).logits[0, 0])
