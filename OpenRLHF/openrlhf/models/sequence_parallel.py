"""Rows split over ranks: between attention layers a rank holds a slice of the positions, inside them its heads.

The exchange is DeepSpeed's Ulysses (arXiv 2309.14509). Its own attention takes a packed row for one long sequence
under sdpa, so the attention between its two exchanges is ours: every sequence by itself, hence without any mask.
"""

from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from openrlhf.errors import UserError
from openrlhf.models.ragged import RaggedRows

# Models in which only attention connects positions; the tests show these to equal one rank.
SPLITTABLE = ("llama", "mistral", "qwen2", "qwen3")
# These choose their frequencies by the longest position, of which every rank sees only its slice's.
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


def check_splittable(config: Any, size: int) -> None:
    """config: a transformers configuration.

    Raises:
        UserError: the model cannot be split over `size` ranks.
    """
    if config.model_type not in SPLITTABLE:
        raise UserError(
            f"--ring_attn_size {size}: rows of a {config.model_type} model cannot be split over ranks, only those of "
            f"{', '.join(SPLITTABLE)} were shown to give what one rank gives; remove the flag and lower memory with "
            "--gradient_checkpointing, --zero_stage 3 or --micro_train_batch_size 1"
        )
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in LENGTH_DEPENDENT_ROPE:
        raise UserError(
            f"--ring_attn_size {size}: the model's rotary embedding is of type {rope}, which depends on the length of "
            "the row, but a rank sees only a slice of it; remove the flag, or choose a model with another type"
        )
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    if heads % size or (kv_heads % size and size % kv_heads):
        fitting = [n for n in range(1, heads + 1) if not heads % n and (not kv_heads % n or not n % kv_heads)]
        raise UserError(
            f"--ring_attn_size {size} does not divide the model's {heads} attention heads and {kv_heads} key-value "
            f"heads (these may also divide it): choose one of {', '.join(map(str, fitting))}"
        )


class SequenceParallel:
    """`size` neighbouring ranks that work on the same rows, each on one slice of the positions.

    attention: the name under which transformers knows the attention that models have to be loaded with.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        from transformers import AttentionInterface

        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self.attention = f"ulysses_sdpa_{self.size}"
        self._exchanges: dict[tuple[int, int, int], nn.Module] = {}
        AttentionInterface.register(self.attention, self._attend)

    @staticmethod
    @cache
    def join(size: int) -> "SequenceParallel":
        """This rank's group; collective over all ranks the first time.

        Raises:
            UserError: the number of ranks is no multiple of `size`.
        """
        world_size = dist.get_world_size()
        if world_size % size:
            raise UserError(
                f"--ring_attn_size {size} splits rows over as many ranks, but there are {world_size}: start a multiple "
                f"of {size}, e.g. torchrun --nproc_per_node {size} -m openrlhf.cli.train_sft"
            )
        group, _ = dist.new_subgroups(size)
        return SequenceParallel(group)

    def hidden_states(self, rows: RaggedRows, backbone: nn.Module, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the flat positions `wanted` [T] lie in this rank's slice, and their last hidden states.

        Returns int64 [t], indices into `wanted`, and [t, width]. The row is filled up to a multiple of `size` with a
        sequence of its own, which nothing reads.
        """
        total = rows.ids.numel()
        filling = -total % self.size
        ids = torch.cat([rows.ids, rows.ids.new_zeros(filling)])
        positions = torch.cat([rows.positions, torch.arange(filling, device=rows.ids.device)])
        length = ids.numel() // self.size
        start = self.rank * length
        out = backbone(
            input_ids=ids[None, start : start + length],
            position_ids=positions[None, start : start + length],
            attention_mask=None,
            use_cache=False,
        )
        own = ((wanted >= start) & (wanted < start + length)).nonzero()[:, 0]
        return own, out.last_hidden_state[0, wanted[own] - start]

    def whole(self, part: Tensor, own: Tensor, total: int) -> Tensor:
        """[total, …] on every rank from each rank's `part` [t, …], whose places are `own` [t].

        Differentiable where every rank goes on to compute the same loss from it: a rank's part then has its own
        share of that loss's gradient, and the parameters' gradients are summed over ranks as those of other data are.
        """
        return _Whole.apply(part, own, total, self.group)

    def _attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, _mask: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        """What transformers calls in every layer, with [1, heads, length, size]."""
        shape = (query.shape[1], key.shape[1], query.shape[3])
        if shape not in self._exchanges:
            self._exchanges[shape] = self._exchange(*shape)
        return self._exchanges[shape](module, query, key, value, None, **kwargs)

    def _exchange(self, heads: int, kv_heads: int, head_size: int) -> nn.Module:
        from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF

        return UlyssesSPAttentionHF(
            attn=isolated_attention,
            batch_size=1,
            attn_head_count=heads,
            attn_head_size=head_size,
            kv_head_count=kv_heads,
            num_hidden_layers=1,  # only read in its debugging mode
            process_group=self.group,
            seq_length_is_variable=True,
        )


def isolated_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    position_ids: Tensor,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal sdpa over each sequence of a packed row; a sequence begins where `position_ids` [1, length] is 0.

    query: [1, heads, length, size], key and value likewise. Returns [1, length, heads, size].
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    length = query.shape[2]
    starts = (position_ids[0] == 0).nonzero()[:, 0].tolist()
    lengths = [end - start for start, end in zip(starts, [*starts[1:], length], strict=True)]
    outputs = []
    for q, k, v in zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True):
        n = q.shape[2]
        window = None
        if sliding_window is not None and n > sliding_window:
            window = torch.ones(n, n, dtype=torch.bool, device=q.device).tril().triu(1 - sliding_window)[None, None]
        outputs.append(sdpa_attention_forward(module, q, k, v, window, **kwargs)[0])
    return torch.cat(outputs, dim=1), None


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, own: Tensor, total: int, group: dist.ProcessGroup) -> Tensor:
        ctx.save_for_backward(own)
        full = part.new_zeros((total, *part.shape[1:]))
        full[own] = part
        dist.all_reduce(full, group=group)  # exact: all but one rank add zero
        return full

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (own,) = ctx.saved_tensors
        return grad[own], None, None, None
