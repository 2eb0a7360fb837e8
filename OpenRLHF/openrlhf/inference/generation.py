"""Responses to a file of prompts: the tasks generate (Hugging Face) and generate_vllm of batch_inference."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openrlhf.config.inference import BatchConfig, TaskConfig
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


def generate_file(config: BatchConfig, notes: Sequence[str]) -> None:
    """Writes `output_path`: JSON lines {"input", "output"}, all prompts once, then all again for their second
    responses, and so on, as in 0.6.2."""
    task = config.task
    prompts = read_prompts(config)
    ranks = Ranks()
    if ranks.first:
        for note in [*notes, *prompts.notes(config.data.prompt_max_len)]:
            print(f"note: {note}", flush=True)
    if task.full_determinism and task.eval_task == "generate":
        from transformers import enable_full_determinism

        enable_full_determinism(task.seed)
    started = time.monotonic()
    engine = open_generator(config)
    requests = ranks.share(requests_for(prompts, task))
    responses = ranks.gather(collect(engine, requests, sampling_of(config), show=ranks.first))
    engine.shutdown()
    if ranks.first:
        write_rows(Path(str(task.output_path)), prompts, responses, task.best_of_n)
        print(_summary(responses, str(task.output_path), time.monotonic() - started), flush=True)


def read_prompts(config: BatchConfig) -> PromptSet:
    data, model, task = config.data, config.model, config.task
    tokenizer = load_tokenizer(str(model.pretrain), use_fast=not model.disable_fast_tokenizer)
    return build_prompts(
        slice_of(read_records(config), task.iter, task.rollout_batch_size),
        tokenizer,
        max_tokens=data.prompt_max_len,
        input_key=data.input_key,
        input_template=data.input_template,
        apply_chat_template=data.apply_chat_template,
        suffix=config.sampling.suffix,
    )


def read_records(config: BatchConfig) -> list[Record]:
    data = config.data
    return load_blend(
        str(data.dataset),
        data.dataset_probs,
        split=data.dataset_split,
        seed=config.task.seed,
        max_samples=data.max_samples,
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


def sampling_of(config: BatchConfig) -> Sampling:
    settings = config.sampling
    return Sampling(
        temperature=0.0 if settings.greedy_sampling else settings.temperature,
        top_p=1.0 if settings.greedy_sampling else settings.top_p,
        repetition_penalty=settings.repetition_penalty,
        max_new_tokens=config.data.max_new_tokens,
    )


def open_generator(config: BatchConfig) -> RolloutEngine:
    model, task = config.model, config.task
    max_model_len = config.data.prompt_max_len + config.data.max_new_tokens
    if task.eval_task == "generate":
        return open_engine(
            str(model.pretrain),
            "hf",
            dtype=model.dtype,
            max_model_len=max_model_len,
            max_num_seqs=task.micro_batch_size,
            attn_implementation=model.attn_implementation,
        )
    return open_engine(
        str(model.pretrain),
        "vllm",
        dtype="bfloat16" if model.bf16 else "auto",
        max_model_len=max_model_len,
        max_num_seqs=task.max_num_seqs,
        tensor_parallel_size=task.tp_size,
        enable_prefix_caching=task.enable_prefix_caching,
        seed=task.seed,
    )


def requests_for(prompts: PromptSet, task: TaskConfig) -> list[Request]:
    """`best_of_n` requests per prompt. A sample's seed depends on its place in the data alone, not on the slice."""
    first = (task.iter or 0) * task.rollout_batch_size
    return [
        Request((number, sample), prompt.token_ids, derive_seed(task.seed, "batch", first + prompt.index, sample))
        for number, prompt in enumerate(prompts.prompts)
        for sample in range(task.best_of_n)
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
