"""Rows of different lengths as one flat batch, and its two views for a transformer: packed and padded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class RaggedRows:
    """Token sequences laid end to end, and which of their tokens are scored.

    ids: int64 [total], all rows one after the other.
    lengths: length of every row; they sum to `total`.
    scored: int64 [T], indices into `ids` of the tokens whose log-probabilities are wanted, rows in order.
    """

    ids: Tensor
    lengths: tuple[int, ...]
    scored: Tensor

    @classmethod
    def build(
        cls,
        rows: Sequence[Sequence[int]],
        scored: Sequence[Sequence[int]],
        device: torch.device | str = "cpu",
    ) -> "RaggedRows":
        """`scored[b]` holds positions inside row b, each at least 1: the first token has no predictor.

        Raises:
            ValueError: for no rows, an empty row, or a scored position outside 1 … len(row) − 1.
        """
        if not rows or not all(len(row) for row in rows):
            raise ValueError("a batch needs at least one row, and every row at least one token")
        flat_ids: list[int] = []
        flat_scored: list[int] = []
        for row, positions in zip(rows, scored, strict=True):
            if any(not 1 <= position < len(row) for position in positions):
                raise ValueError(
                    f"a scored position lies outside 1 … {len(row) - 1}: an empty prompt leaves nothing that "
                    "predicts the first token"
                )
            flat_scored.extend(len(flat_ids) + position for position in positions)
            flat_ids.extend(row)
        return cls(
            torch.tensor(flat_ids, dtype=torch.long, device=device),
            tuple(len(row) for row in rows),
            torch.tensor(flat_scored, dtype=torch.long, device=device),
        )

    @property
    def targets(self) -> Tensor:
        """int64 [T]: the scored tokens themselves."""
        return self.ids[self.scored]

    @property
    def predictors(self) -> Tensor:
        """int64 [T]: flat indices of the positions whose hidden state predicts each scored token."""
        return self.scored - 1

    @property
    def positions(self) -> Tensor:
        """int64 [total]: the place of every token in its own row."""
        return torch.cat([torch.arange(n, device=self.ids.device) for n in self.lengths])

    def run(
        self, backbone: torch.nn.Module, *, packed: bool, pad_token_id: int = 0, router_logits: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The backbone's last hidden states [total, width], and the router logits [total, experts] of each layer with
        experts if they are asked for; all in flat order, however the rows were laid out.

        packed: lay them end to end, unless attention that knows no rows (sdpa, eager) would lose more by the square of
        the whole than padding costs.
        """
        config: Any = backbone.config
        end_to_end = packed and ("flash" in str(config._attn_implementation) or self._square_pays(config.hidden_size))
        inputs, real = self._packed() if end_to_end else self._padded(pad_token_id)
        if router_logits:  # only mixtures of experts know this argument
            inputs["output_router_logits"] = True
        out = backbone(**inputs, use_cache=False)

        def flat(states: Tensor) -> Tensor:
            return states.flatten(0, -2) if real is None else states.reshape(*real.shape, -1)[real]

        return flat(out.last_hidden_state), tuple(map(flat, out.router_logits)) if router_logits else ()

    def _square_pays(self, width: int) -> bool:
        """Whether all positions of one long row cost less than a padded rectangle.

        A token costs a decoder's layer about 40 width² operations in matrices, and 4 width for every token it attends
        to or is masked from: in units of 4 width, 10 width and 1.
        """
        total, longest, rows = sum(self.lengths), max(self.lengths), len(self.lengths)
        return total * (10 * width + total) <= rows * longest * (10 * width + longest)

    def _packed(self) -> tuple[dict[str, Any], None]:
        """One row. transformers isolates its sequences only without a mask, with restarting positions and no cache."""
        return {"input_ids": self.ids[None], "position_ids": self.positions[None], "attention_mask": None}, None

    def _padded(self, pad_token_id: int) -> tuple[dict[str, Any], Tensor]:
        """A rectangle, and the mask of its real tokens, bool [rows, width]."""
        lengths = torch.tensor(self.lengths, device=self.ids.device)
        real = torch.arange(max(self.lengths), device=self.ids.device)[None] < lengths[:, None]
        padded = torch.full(real.shape, pad_token_id, dtype=torch.long, device=self.ids.device)
        padded[real] = self.ids
        return {"input_ids": padded, "attention_mask": real.long()}, real
