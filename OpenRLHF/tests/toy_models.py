"""A tiny random Qwen2 and a byte-level tokenizer, made on the spot: tests need no hub and no stored weights."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """256 bytes, then <|endoftext|> (256) and <|pad|> (257)."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|pad|>")


def toy_config(**changes: object) -> Qwen2Config:
    settings: dict = {
        "vocab_size": 258,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "initializer_range": 0.2,
        "max_position_embeddings": 512,
        "bos_token_id": None,
        "eos_token_id": 256,
        "pad_token_id": 257,
    }
    return Qwen2Config(**{**settings, **changes})


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
