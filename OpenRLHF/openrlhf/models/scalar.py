"""A transformer with one number per token on top: reward models and critics."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openrlhf.models.moe import RouterBalance
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.sequence_parallel import SequenceParallel


class ScalarHead(nn.Linear):
    """hidden [T, width] → float32 [T]; computed in float32 whatever the dtype of the weights."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__(width, 1, bias=False, dtype=dtype)
        nn.init.normal_(self.weight, std=1.0 / (width + 1))

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(hidden.float(), self.weight.float())[:, 0]


class ScalarModel(nn.Module):
    """Gives every scored token of ragged rows a number.

    backbone: a transformers model without output layer. head_prefix: the head's name in checkpoints.
    at_predictors: read the state before each scored token (the value of a state, for critics) instead of the state
        of the token itself (rewards, at the last token of a response).
    packed, balance, split: as for `Actor`.
    `pretrained` holds both under the names that they have in checkpoints: model.layers.…, score.weight.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: ScalarHead,
        *,
        head_prefix: str = "score",
        at_predictors: bool = False,
        packed: bool = False,
        pad_token_id: int = 0,
        balance: RouterBalance | None = None,
        split: SequenceParallel | None = None,
    ) -> None:
        super().__init__()
        self.pretrained = nn.Module()
        self._backbone_name = getattr(backbone, "base_model_prefix", "") or "model"
        self.head_prefix = head_prefix
        setattr(self.pretrained, self._backbone_name, backbone)
        setattr(self.pretrained, head_prefix, head)
        self.at_predictors = at_predictors
        self.packed = packed
        self.pad_token_id = pad_token_id
        self.balance = balance
        self.split = split

    @property
    def backbone(self) -> Any:
        return getattr(self.pretrained, self._backbone_name)

    @property
    def head(self) -> ScalarHead:
        return getattr(self.pretrained, self.head_prefix)

    @property
    def config(self) -> Any:
        return self.backbone.config

    @property
    def tied(self) -> bool:
        """Whether an output layer that shares the embedding's weights has to be left out of files: there is none."""
        return False

    def forward(self, rows: RaggedRows) -> Tensor | tuple[Tensor, Tensor]:
        """The numbers, and with `balance` its scalar."""
        read = rows.predictors if self.at_predictors else rows.scored
        if self.split is not None:
            own, hidden = self.split.hidden_states(rows, self.backbone, read)
            return self.split.whole(self.head(hidden), own, read.numel())
        hidden, router_logits = rows.run(
            self.backbone,
            packed=self.packed,
            pad_token_id=self.pad_token_id,
            router_logits=self.balance is not None,
        )
        values = self.head(hidden[read])
        return values if self.balance is None else (values, self.balance(router_logits))


def stored_head(path: str, head_prefix: str) -> Tensor | None:
    """The head's weight [1, width] in a model folder or hub repository, None where it has none.

    Only safetensors files are read: others would have to be unpickled.
    """
    import json

    from safetensors import safe_open
    from transformers.utils import cached_file

    name = f"{head_prefix}.weight"
    missing: dict[str, Any] = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    index = cached_file(path, "model.safetensors.index.json", **missing)
    file = "model.safetensors"
    if index is not None:
        file = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].get(name)
        if file is None:
            return None
    found = cached_file(path, file, **missing)
    if found is None:
        return None
    with safe_open(found, framework="pt") as tensors:
        return tensors.get_tensor(name) if name in tensors.keys() else None  # noqa: SIM118 - no container
