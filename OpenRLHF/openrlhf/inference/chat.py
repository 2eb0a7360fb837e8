"""The loop of interactive_chat: a line in, an answer out. Answers go to stdout, remarks to stderr."""

import sys
from collections.abc import Sequence
from pathlib import Path

from openrlhf.config.inference import ChatConfig, SamplingConfig
from openrlhf.errors import UserError
from openrlhf.inference.conversation import ChatStyle, Conversation, Style, TemplateStyle
from openrlhf.models.loader import load_config, load_tokenizer
from openrlhf.rollout.engine import Request, Sampling
from openrlhf.rollout.hf_engine import HfEngine
from openrlhf.rollout.model_files import context_length
from openrlhf.utils.seeding import derive_seed

_SEED = 42


def talk(config: ChatConfig, notes: Sequence[str]) -> None:
    """Reads lines from stdin until 'exit' or its end; 'clear' starts a new conversation."""
    model = config.model
    tokenizer = load_tokenizer(str(model.pretrain), use_fast=not model.disable_fast_tokenizer)
    for note in notes:
        _remark(f"note: {note}")
    max_len = _length(config)
    style = _style(config, tokenizer)
    conversation = Conversation(tokenizer, style, special_tokens=not config.conversation.apply_chat_template)
    conversation.prompt_within("", _prompt_limit(max_len))  # a template or opening that does not work is refused here
    engine = HfEngine(
        str(model.pretrain),
        dtype=model.dtype,
        max_model_len=max_len,
        attn_implementation=str(model.attn_implementation),
        load_in_4bit=model.load_in_4bit,
    )
    count = 0
    while (line := _read()) is not None:
        command = line.strip().lower()
        if command == "exit":
            break
        if command == "clear":
            conversation.clear()
            _remark("(a new conversation)")
        elif command:
            count += 1
            _answer(engine, conversation, line, config.sampling, max_len, derive_seed(_SEED, "chat", count))
    engine.shutdown()


def _answer(
    engine: HfEngine, conversation: Conversation, line: str, settings: SamplingConfig, max_len: int, seed: int
) -> None:
    try:
        prompt_ids, dropped = conversation.prompt_within(line, _prompt_limit(max_len))
    except UserError as error:
        _remark(f"({error})")
        return
    if dropped:
        _remark(f"(the conversation became too long: its first {dropped} turn(s) are forgotten)")
    sampling = Sampling(
        temperature=0.0 if settings.greedy_sampling else settings.temperature,
        top_p=1.0 if settings.greedy_sampling else settings.top_p,
        repetition_penalty=settings.repetition_penalty,
        max_new_tokens=max_len - len(prompt_ids),
    )
    try:
        answer = engine.answer(Request((0,), prompt_ids, seed), sampling, _show)
    except KeyboardInterrupt:
        print()
        _remark("(interrupted: this turn is not part of the conversation)")
        return
    print(flush=True)
    if answer.finish_reason == "length":
        _remark(f"(cut off: prompt and answer fill --max_len {max_len})")
    conversation.add(line, prompt_ids, answer.token_ids, answer.text)


def _length(config: ChatConfig) -> int:
    wanted, positions = config.conversation.max_len, context_length(load_config(str(config.model.pretrain)), None)
    if wanted > positions:
        _remark(f"note: the model has {positions} positions, so the conversation may take these, not {wanted}.")
    return min(wanted, positions)


def _prompt_limit(max_len: int) -> int:
    """A quarter of the context is kept free for the answer."""
    return max_len - max(1, max_len // 4)


def _style(config: ChatConfig, tokenizer: object) -> Style:
    settings, suffix = config.conversation, config.sampling.suffix
    opening = _opening(settings.ta_prompt)
    if settings.apply_chat_template:
        return ChatStyle(tokenizer, opening, suffix)
    return TemplateStyle(settings.input_template, opening, suffix)


def _opening(path: str | None) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--ta_prompt {path} cannot be read as UTF-8 text: {error}") from None


def _read() -> str | None:
    """The next line; None at the end of the input, or at Ctrl-C."""
    asks = sys.stdin.isatty()
    try:
        return input("Please enter a prompt ('clear' starts anew, 'exit' ends): " if asks else "")
    except (EOFError, KeyboardInterrupt):
        return None


def _show(text: str) -> None:
    print(text, end="", flush=True)


def _remark(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
