"""What both engines take from a model's folder, and how they read their own output."""

from collections.abc import Collection, Sequence
from typing import Any

from openrlhf.errors import UserError
from openrlhf.rollout.engine import Request


def load_tokenizer(model_path: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path, trust_remote_code=False)


def load_config(model_path: str) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(model_path, trust_remote_code=False)


def context_length(config: Any, wanted: int | None) -> int:
    """Tokens of prompt and completion together that the engine is set up for.

    Raises: UserError where more is wanted than the model has positions for.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    stretch = rope.get("factor", 1.0) if isinstance(rope, dict) else 1.0
    positions = int(config.max_position_embeddings * max(1.0, stretch))
    if wanted is None:
        return positions
    if wanted > positions:
        raise UserError(
            f"prompt and completion may take {wanted} tokens together, but the model has {positions} "
            "positions; lower --prompt_max_len or --generate_max_len (batch_inference: --max_new_tokens, evaluation: "
            "--max_tokens_per_call)"
        )
    return wanted


def end_token_ids(model_path: str, tokenizer: Any) -> tuple[int, ...]:
    """The ids that end a completion: the tokenizer's end of sequence and those of the generation config."""
    from transformers import GenerationConfig

    ids = {tokenizer.eos_token_id}
    try:
        configured = GenerationConfig.from_pretrained(model_path).eos_token_id
    except OSError:  # a folder without generation_config.json
        configured = load_config(model_path).eos_token_id
    ids.update(configured if isinstance(configured, (list, tuple)) else [configured])
    ids.discard(None)
    return tuple(sorted(ids))


def check_requests(requests: Sequence[Request], max_model_len: int) -> None:
    """Raises UserError for a prompt that is empty or leaves no room for a single token."""
    for request in requests:
        length = len(request.prompt_ids)
        if length == 0:
            raise UserError(f"request {request.key} has an empty prompt; an engine needs at least one token")
        if length >= max_model_len:
            raise UserError(
                f"the prompt of request {request.key} has {length} tokens, but prompt and completion "
                f"together may have {max_model_len}; drop or shorten the prompt, or raise the engine's "
                "max_model_len"
            )


def room(request: Request, max_new_tokens: int, max_model_len: int) -> int:
    """Tokens that this request may generate: the asked number, or what is left of the context."""
    return min(max_new_tokens, max_model_len - len(request.prompt_ids))


def read_text(tokenizer: Any, token_ids: Sequence[int], ends: Collection[int]) -> str:
    """The completion as text: without special tokens and without the token that ended it."""
    ids = list(token_ids)
    if ids and ids[-1] in ends:
        ids.pop()
    return tokenizer.decode(ids, skip_special_tokens=True)
