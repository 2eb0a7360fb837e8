"""Rewards for a file of responses: the task rm of batch_inference."""

import json
import math
import statistics
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openrlhf.datasets.blending import load_blend
from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import as_text, field, fill
from openrlhf.datasets.segments import Segment, as_response, chat_segments, encode, finished, opening_tokens
from openrlhf.datasets.templates import as_messages
from openrlhf.errors import UserError
from openrlhf.inference.post_processors import process
from openrlhf.inference.ranks import Ranks
from openrlhf.utils.atomic import write_atomically

if TYPE_CHECKING:
    from openrlhf.rewards.reward_model import RewardModel


def score_file(args: Namespace, notes: Sequence[str]) -> None:
    """Writes `args.output_path`: the rows of `args.dataset` with "input" (the prompt with its template), "output" and
    "reward", or what the post-processor makes of them."""
    from openrlhf.models.loader import load_tokenizer
    from openrlhf.rewards.reward_model import RewardModel, inspect_reward_model
    from openrlhf.trainer.deepspeed_setup import local_device

    # csft normalises over the rows of the file, after which it does not matter how they were normalised before.
    stored = args.normalize_reward and args.post_processor != "csft"
    files, found = inspect_reward_model(args.pretrain, head_prefix=args.value_head_prefix, normalize_reward=stored)
    tokenizer = load_tokenizer(args.pretrain, use_fast=not args.disable_fast_tokenizer)
    records = load_blend(
        args.dataset, args.dataset_probs, split=args.dataset_split, seed=args.seed, max_samples=args.max_samples
    )
    pairs = [segments_of(record, tokenizer, args, number) for number, record in enumerate(records)]
    ranks = Ranks()
    if ranks.first:
        for note in [*notes, *found]:
            print(f"note: {note}", flush=True)
    if args.full_determinism:
        from transformers import enable_full_determinism

        enable_full_determinism(args.seed)
    model = RewardModel(files, args, local_device(), max_len=args.max_len)
    opening = opening_tokens(tokenizer, args.apply_chat_template)
    rows, cut = model.shortened([encode(finished(pair, tokenizer), tokenizer, opening)[0] for pair in pairs])
    own = ranks.share(range(len(rows)))
    rewards = ranks.gather(_score(model, rows, own, args.micro_batch_size, show=ranks.first))
    if not ranks.first:
        return
    if cut:
        print(f"note: {cut} of {len(rows)} rows are longer than --max_len {args.max_len}: their beginnings were cut.")
    scored = [
        {**record, "input": pair[0][0], "output": record[args.output_key], "reward": rewards[number]}
        for number, (record, pair) in enumerate(zip(records, pairs, strict=True))
    ]
    values = [row["reward"] for row in scored]
    wrong = next((number for number, value in enumerate(values) if not math.isfinite(value)), None)
    if wrong is not None:
        raise UserError(f"the reward model gives row {wrong} the reward {values[wrong]}: nothing is written")
    print(f"Reward mean: {statistics.fmean(values)}, std: {statistics.stdev(values) if len(values) > 1 else 0.0}")
    written, more = process(args.post_processor, scored, args)
    for note in more:
        print(f"note: {note}")
    write_atomically(Path(args.output_path), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in written))
    print(f"{len(written)} rows in {args.output_path}", flush=True)


def segments_of(record: Record, tokenizer: Any, args: Namespace, number: int) -> list[Segment]:
    """Prompt and response as the reward model reads them. UserError: a key or a type is wrong, or the template."""
    content = field(record, args.input_key, "--input_key", number)
    response = as_text(field(record, args.output_key, "--output_key", number), args.output_key, number)
    if args.apply_chat_template:
        return chat_segments(tokenizer, as_messages(content) + as_response(response), number, multiturn=False)
    return [(fill(args.input_template, as_text(content, args.input_key, number)), False), (response, True)]


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
