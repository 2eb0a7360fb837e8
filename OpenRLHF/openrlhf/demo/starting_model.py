"""A tokenizer of a few hundred tokens and a randomly initialised Qwen2 that fits it."""

from collections.abc import Iterable
from pathlib import Path

VOCABULARY = 384
# Always tokens of their own, whatever stands around them.
WHOLE = (r"\boxed", r"\frac", r"\cdot", r"\gcd", "{", "}")
# Standard deviation of the initial weights: at a width of 128 the usual 0.02 learns markedly more slowly.
INITIALIZER_RANGE = 0.055


def save_tokenizer(texts: Iterable[str], folder: Path, max_length: int) -> None:
    """Trains a byte-level BPE on `texts` and saves it: any text can be encoded, digits are always single.

    Texts are cut into words as Qwen2's tokenizer does it: `AutoTokenizer` takes that class for every Qwen2
    model and would replace other rules with its own.
    """
    from transformers import Qwen2Tokenizer

    plain = Qwen2Tokenizer(model_max_length=max_length, clean_up_tokenization_spaces=False)
    tokenizer = plain.train_new_from_iterator(([text] for text in texts), VOCABULARY - len(WHOLE), show_progress=False)
    tokenizer.add_tokens(list(WHOLE))
    tokenizer.save_pretrained(folder)


def save_random_model(folder: Path, seed: int, max_length: int) -> None:
    """Saves a Qwen2 with 3 layers of width 128 (0.6 M parameters) beside the tokenizer in `folder`."""
    import torch
    from transformers import AutoTokenizer, GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=max_length,
        initializer_range=INITIALIZER_RANGE,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
