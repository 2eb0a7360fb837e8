"""Responses to a file of prompts: the tasks generate (Hugging Face) and generate_vllm of batch_inference."""

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openrlhf.datasets.blending import load_blend
from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import PromptSet, build_prompts
from openrlhf.errors import UserError
from openrlhf.inference.ranks import Ranks
from openrlhf.models.loader import load_tokenizer
from openrlhf.rollout.engine import Completion, Request, RolloutEngine, Sampling
from openrlhf.rollout.opening import open_engine
from openrlhf.utils.atomic import write_atomically
from openrlhf.utils.seeding import derive_seed

# (prompt, sample)
Responses = dict[tuple[int, ...], Completion]


def generate_file(args: Namespace, notes: Sequence[str]) -> None:
    """Writes `args.output_path`: JSON lines {"input", "output"}, all prompts once, then all again for their second
    responses, and so on, as in 0.6.2."""
    prompts = read_prompts(args)
    ranks = Ranks()
    if ranks.first:
        for note in [*notes, *prompts.notes(args.prompt_max_len)]:
            print(f"note: {note}", flush=True)
    if args.full_determinism and args.eval_task == "generate":
        from transformers import enable_full_determinism

        enable_full_determinism(args.seed)
    started = time.monotonic()
    engine = open_generator(args)
    requests = ranks.share(requests_for(prompts, args))
    responses = ranks.gather(collect(engine, requests, sampling_of(args), show=ranks.first))
    engine.shutdown()
    if ranks.first:
        write_rows(Path(args.output_path), prompts, responses, args.best_of_n)
        print(_summary(responses, args.output_path, time.monotonic() - started), flush=True)


def read_prompts(args: Namespace) -> PromptSet:
    tokenizer = load_tokenizer(args.pretrain, use_fast=not args.disable_fast_tokenizer)
    records = load_blend(
        args.dataset, args.dataset_probs, split=args.dataset_split, seed=args.seed, max_samples=args.max_samples
    )
    return build_prompts(
        slice_of(records, args.iter, args.rollout_batch_size),
        tokenizer,
        max_tokens=args.prompt_max_len,
        input_key=args.input_key,
        input_template=args.input_template,
        apply_chat_template=args.apply_chat_template,
        suffix=csft_suffix(args),
    )


def slice_of(records: list[Record], number: int | None, size: int) -> list[Record]:
    """Slice `number` (from 0) of `size` records; all where it is None. UserError where there is no such slice."""
    if number is None:
        return records
    part = records[number * size : (number + 1) * size]
    if not part:
        raise UserError(
            f"--iter {number}: there are {len(records)} prompts, so with --rollout_batch_size {size} the last slice is"
            f" --iter {(len(records) - 1) // size}"
        )
    return part


def csft_suffix(args: Namespace) -> str:
    """What asks a conditionally trained model for good responses; behind every prompt, as in 0.6.2."""
    return f"{args.csft_prompt.strip()} " if args.enable_csft else ""


def sampling_of(args: Namespace) -> Sampling:
    return Sampling(
        temperature=0.0 if args.greedy_sampling else args.temperature,
        top_p=1.0 if args.greedy_sampling else args.top_p,
        repetition_penalty=args.repetition_penalty,
        max_new_tokens=args.max_new_tokens,
    )


def open_generator(args: Namespace) -> RolloutEngine:
    max_model_len = args.prompt_max_len + args.max_new_tokens
    if args.eval_task == "generate":
        return open_engine(
            args.pretrain,
            "hf",
            dtype="bfloat16" if args.bf16 else "float32",
            max_model_len=max_model_len,
            max_num_seqs=args.micro_batch_size,
            attn_implementation=args.attn_implementation,
        )
    return open_engine(
        args.pretrain,
        "vllm",
        dtype="bfloat16" if args.bf16 else "auto",
        max_model_len=max_model_len,
        max_num_seqs=args.max_num_seqs,
        tensor_parallel_size=args.tp_size,
        enable_prefix_caching=args.enable_prefix_caching,
        seed=args.seed,
    )


def requests_for(prompts: PromptSet, args: Namespace) -> list[Request]:
    """`best_of_n` requests per prompt. A sample's seed depends on its place in the data alone, not on the slice."""
    first = (args.iter or 0) * args.rollout_batch_size
    return [
        Request((number, sample), prompt.token_ids, derive_seed(args.seed, "batch", first + prompt.index, sample))
        for number, prompt in enumerate(prompts.prompts)
        for sample in range(args.best_of_n)
    ]


def collect(engine: RolloutEngine, requests: Sequence[Request], sampling: Sampling, *, show: bool) -> Responses:
    from tqdm import tqdm

    responses: Responses = {}
    with tqdm(total=len(requests), desc="generating", unit="response", disable=None if show else True) as bar:
        for completions in engine.generate(requests, sampling) if requests else ():
            responses.update((completion.key, completion) for completion in completions)
            bar.update(len(completions))
    return responses


def write_rows(path: Path, prompts: PromptSet, responses: Responses, samples: int) -> None:
    rows: list[dict[str, Any]] = [
        {"input": prompt.text, "output": responses[number, sample].text}
        for sample in range(samples)
        for number, prompt in enumerate(prompts.prompts)
    ]
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _summary(responses: Responses, path: str, seconds: float) -> str:
    lengths = [len(completion.token_ids) for completion in responses.values()]
    truncated = sum(completion.finish_reason == "length" for completion in responses.values())
    return (
        f"{len(responses)} responses in {path}: {sum(lengths) / len(lengths):.1f} tokens on average, {truncated} cut"
        f" off at --max_new_tokens, {seconds:.1f} s"
    )
