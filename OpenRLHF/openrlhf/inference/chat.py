"""The loop of interactive_chat: a line in, an answer out. Answers go to stdout, remarks to stderr."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from openrlhf.errors import UserError
from openrlhf.inference.conversation import ChatStyle, Conversation, Style, TemplateStyle
from openrlhf.models.loader import load_config, load_tokenizer
from openrlhf.rollout.engine import Request, Sampling
from openrlhf.rollout.hf_engine import HfEngine
from openrlhf.rollout.model_files import context_length
from openrlhf.utils.seeding import derive_seed

_SEED = 42


def talk(args: Namespace, notes: Sequence[str]) -> None:
    """Reads lines from stdin until 'exit' or its end; 'clear' starts a new conversation."""
    tokenizer = load_tokenizer(args.pretrain, use_fast=not args.disable_fast_tokenizer)
    for note in notes:
        _remark(f"note: {note}")
    max_len = _length(args)
    style = _style(args, tokenizer)
    conversation = Conversation(tokenizer, style, special_tokens=not args.apply_chat_template)
    conversation.prompt_within("", _prompt_limit(max_len))  # a template or opening that does not work is refused here
    engine = HfEngine(
        args.pretrain,
        dtype="bfloat16" if args.bf16 else "float32",
        max_model_len=max_len,
        attn_implementation=args.attn_implementation,
        load_in_4bit=args.load_in_4bit,
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
            _answer(engine, conversation, line, args, max_len, derive_seed(_SEED, "chat", count))
    engine.shutdown()


def _answer(engine: HfEngine, conversation: Conversation, line: str, args: Namespace, max_len: int, seed: int) -> None:
    try:
        prompt_ids, dropped = conversation.prompt_within(line, _prompt_limit(max_len))
    except UserError as error:
        _remark(f"({error})")
        return
    if dropped:
        _remark(f"(the conversation became too long: its first {dropped} turn(s) are forgotten)")
    sampling = Sampling(
        temperature=0.0 if args.greedy_sampling else args.temperature,
        top_p=1.0 if args.greedy_sampling else args.top_p,
        repetition_penalty=args.repetition_penalty,
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


def _length(args: Namespace) -> int:
    positions = context_length(load_config(args.pretrain), None)
    if args.max_len > positions:
        _remark(f"note: the model has {positions} positions, so the conversation may take these, not {args.max_len}.")
    return min(args.max_len, positions)


def _prompt_limit(max_len: int) -> int:
    """A quarter of the context is kept free for the answer."""
    return max_len - max(1, max_len // 4)


def _style(args: Namespace, tokenizer: object) -> Style:
    opening = _opening(args.ta_prompt)
    suffix = f"{args.csft_prompt.strip()} " if args.enable_csft else ""
    if args.apply_chat_template:
        return ChatStyle(tokenizer, opening, suffix)
    return TemplateStyle(args.input_template, opening, suffix)


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
