"""Rewards for a file of responses: the task rm of batch_inference."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openrlhf.config.inference import BatchConfig, BatchDataConfig
from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import as_text, field, fill
from openrlhf.datasets.segments import Segment, chat_segments, encode, finished, opening_tokens
from openrlhf.datasets.templates import as_messages
from openrlhf.errors import UserError
from openrlhf.inference.generation import read_records
from openrlhf.inference.post_processors import process
from openrlhf.inference.ranks import Ranks
from openrlhf.utils.atomic import write_atomically

if TYPE_CHECKING:
    from openrlhf.rewards.reward_model import RewardModel


def score_file(config: BatchConfig, notes: Sequence[str]) -> None:
    """Writes `output_path`: the rows of `dataset` with "input" (the prompt with its template), "output" and
    "reward", or what the post-processor makes of them."""
    from openrlhf.models.loader import load_tokenizer
    from openrlhf.rewards.reward_model import RewardModel, inspect_reward_model
    from openrlhf.trainer.deepspeed_setup import local_device

    # csft normalises over the rows of the file, after which it does not matter how they were normalised before.
    data, task, path = config.data, config.task, str(config.model.pretrain)
    stored = task.normalize_reward and task.post_processor != "csft"
    files, found = inspect_reward_model(path, head_prefix=task.value_head_prefix, normalize_reward=stored)
    tokenizer = load_tokenizer(path, use_fast=not config.model.disable_fast_tokenizer)
    records = read_records(config)
    pairs = [segments_of(record, tokenizer, data, number) for number, record in enumerate(records)]
    ranks = Ranks()
    if ranks.first:
        for note in [*notes, *found]:
            print(f"note: {note}", flush=True)
    if task.full_determinism:
        from transformers import enable_full_determinism

        enable_full_determinism(task.seed)
    model = RewardModel(files, config.model, local_device(), max_len=data.max_len)
    opening = opening_tokens(tokenizer, data.apply_chat_template)
    rows, cut = model.shortened([encode(finished(pair, tokenizer), tokenizer, opening)[0] for pair in pairs])
    own = ranks.share(range(len(rows)))
    rewards = ranks.gather(_score(model, rows, own, task.micro_batch_size, show=ranks.first))
    if not ranks.first:
        return
    if cut:
        print(f"note: {cut} of {len(rows)} rows are longer than --max_len {data.max_len}: their beginnings were cut.")
    scored = [
        {**record, "input": pair[0][0], "output": record[data.output_key], "reward": rewards[number]}
        for number, (record, pair) in enumerate(zip(records, pairs, strict=True))
    ]
    values = [row["reward"] for row in scored]
    wrong = next((number for number, value in enumerate(values) if not math.isfinite(value)), None)
    if wrong is not None:
        raise UserError(f"the reward model gives row {wrong} the reward {values[wrong]}: nothing is written")
    print(f"Reward mean: {statistics.fmean(values)}, std: {statistics.stdev(values) if len(values) > 1 else 0.0}")
    written, more = process(task.post_processor, scored, task)
    for note in more:
        print(f"note: {note}")
    write_atomically(
        Path(str(task.output_path)), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in written)
    )
    print(f"{len(written)} rows in {task.output_path}", flush=True)


def segments_of(record: Record, tokenizer: Any, data: BatchDataConfig, number: int) -> list[Segment]:
    """Prompt and response as the reward model reads them. UserError: a key or a type is wrong, or the template."""
    content = field(record, data.input_key, "--input_key", number)
    response = as_text(field(record, data.output_key, "--output_key", number), data.output_key, number)
    if data.apply_chat_template:
        messages = as_messages(content, data.input_key, number)
        messages += as_messages(response, data.output_key, number, text_is="assistant")
        return chat_segments(tokenizer, messages, number, multiturn=False)
    return [(fill(data.input_template, as_text(content, data.input_key, number)), False), (response, True)]


def _score(
    model: "RewardModel", rows: Sequence[Sequence[int]], own: Sequence[int], batch_size: int, *, show: bool
) -> dict[int, float]:
    """Rewards of the rows whose numbers are in `own`, by number; rows of similar length share a forward pass."""
    from tqdm import tqdm

    order = sorted(own, key=lambda number: len(rows[number]), reverse=True)
    rewards: dict[int, float] = {}
    with tqdm(total=len(order), desc="scoring", unit="row", disable=None if show else True) as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            rewards.update(zip(batch, model.score([rows[number] for number in batch]), strict=True))
            bar.update(len(batch))
    return rewards
