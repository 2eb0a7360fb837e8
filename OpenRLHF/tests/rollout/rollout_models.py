"""A tiny random Qwen2 with a byte-level tokenizer, and log-probabilities to compare with."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

END = "<|end|>"
END_ID = 256  # behind the 256 bytes


def save_tiny_qwen2(path, seed, tied=True):
    """A Qwen2 of two layers whose distribution is far from flat, and a token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate([*alphabet, END])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, pad_token=END)
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=256,
            tie_word_embeddings=tied,
            initializer_range=0.25,
            eos_token_id=vocabulary[END],
            pad_token_id=vocabulary[END],
            bos_token_id=None,
        )
    )
    with torch.no_grad():  # random biases and norms too, or a wrong one would go unnoticed
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.3)
            elif "norm" in name:
                parameter.normal_(1, 0.2)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def forward_logprobs(model, prompt_ids, token_ids):
    """One plain forward pass over prompt and completion; the completion's log-probabilities [tokens]."""
    ids = torch.tensor([[*prompt_ids, *token_ids]])
    with torch.no_grad():
        scores = model(ids).logits[0].float().log_softmax(-1)
    at = torch.arange(len(prompt_ids), ids.shape[1])
    return scores[at - 1, ids[0, at]]
