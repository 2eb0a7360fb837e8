"""A reward model that scores texts: prompt and response in, one number out."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from openrlhf.config.model import LoadingConfig
from openrlhf.errors import UserError
from openrlhf.models.loader import find_head, load_scalar, load_tokenizer
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.reward_scale import RewardScale, reward_scale


@dataclass(frozen=True)
class RewardModelFiles:
    """What is known of a reward model before its weights are loaded.

    head_prefix: the name of its last layer. scale: what its rewards are normalised with.
    """

    path: str
    head_prefix: str
    scale: RewardScale


def inspect_reward_model(path: str, *, head_prefix: str, normalize_reward: bool) -> tuple[RewardModelFiles, list[str]]:
    """Looks into the model's folder; returns notes for the user too.

    Raises: UserError where it has no head, or no statistics to normalise rewards with.
    """
    found = find_head(path, head_prefix)
    notes = []
    if found != head_prefix:
        notes.append(
            f"--value_head_prefix {head_prefix}: the config.json of {path} names its last layer {found}, which is used."
        )
    return RewardModelFiles(path, found, reward_scale(path) if normalize_reward else RewardScale()), notes


class RewardModel:
    """Scores rows of token ids at their last token, an end-of-sequence token. Several threads may use it at once.

    config: after the rules. max_len: tokens of a row.
    """

    def __init__(self, files: RewardModelFiles, config: LoadingConfig, device: torch.device, *, max_len: int) -> None:
        self.tokenizer = load_tokenizer(files.path, use_fast=not config.disable_fast_tokenizer)
        self.device = device
        self.max_len = max_len
        self._scale = files.scale
        self._model = load_scalar(
            files.path,
            config,
            trainable=False,
            head_prefix=files.head_prefix,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        if config.load_in_4bit:  # quantised weights are on the GPU already and may not be moved
            self._model.head.to(device)
        else:
            self._model.to(device)
        self._tokenizing = threading.Lock()  # fast tokenizers hold settings that a second thread must not see change

    def encode(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Token ids of each text, and how many of them were longer than `max_len`.

        Texts are tokenised as they are: their special tokens become ids, nothing is put in front. Padding at both ends
        is left out, and exactly one end-of-sequence token ends each row.

        Raises: UserError for a text without tokens.
        """
        with self._tokenizing:
            rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        rows = [self._finished(row) for row in rows]
        for number, row in enumerate(rows):
            if len(row) < 2:
                raise UserError(f"query {number} is empty: a reward model needs at least one token to judge")
        return self.shortened(rows)

    def shortened(self, rows: Sequence[Sequence[int]]) -> tuple[list[list[int]], int]:
        """Rows of at most `max_len` tokens, and how many were longer. These lose their beginning: the response that is
        judged is at the end."""
        return [list(row[-self.max_len :]) for row in rows], sum(len(row) > self.max_len for row in rows)

    def _finished(self, row: Sequence[int]) -> list[int]:
        end, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        first, last = 0, len(row)
        while last > 0 and row[last - 1] in (end, pad):
            last -= 1
        while first < last and row[first] == pad != end:
            first += 1
        return [*row[first:last], end]

    @torch.inference_mode()
    def score(self, rows: Sequence[Sequence[int]], batch_size: int | None = None) -> list[float]:
        """One reward per row, in order. batch_size: rows of one forward pass, all by default; it changes only
        rounding."""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))  # rows of similar length share a pass
        size = batch_size or max(len(rows), 1)
        rewards = [0.0] * len(rows)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            ragged = RaggedRows.build(
                [rows[index] for index in batch], [[len(rows[index]) - 1] for index in batch], self.device
            )
            for index, value in zip(batch, self._scale.normalized(self._model(ragged)).tolist(), strict=True):
                rewards[index] = value
        return rewards


def local_devices(copies: int) -> list[torch.device]:
    """Devices for `copies` models: as many GPUs as there are and are wanted, else the CPU once."""
    gpus = min(copies, torch.cuda.device_count()) if torch.cuda.is_available() else 0
    return [torch.device("cuda", index) for index in range(gpus)] or [torch.device("cpu")]
