r"""The one way from hidden states to log-probabilities: through the output layer in chunks of positions.

No tensor of the whole batch has a vocabulary dimension, neither forward nor backward: the forward pass keeps hidden
states and chosen token ids, the backward pass makes each chunk's logits anew. With q = softmax(ℓ/τ), p likewise from
the posterior's logits:

* d log q(a) / dℓ = (onehot(a) − q) / τ
* d CE(p, q) / dℓ = (q − p) / τ     (p held constant)

Everything with a vocabulary dimension is float32, whatever the dtype of the model.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from openrlhf.models.scores import Scores, ScoreSpec


class ScoringHead(nn.Linear):
    """An output layer that can also score in chunks. As a module, so that ZeRO-3 gathers its weight."""

    @classmethod
    def replacing(cls, linear: nn.Linear) -> "ScoringHead":
        """A head that shares the parameters (and so the tying and the sharding) of `linear`."""
        with torch.device("meta"):
            head = cls(1, 1, bias=False)
        head.in_features, head.out_features = linear.in_features, linear.out_features
        head.weight, head.bias = linear.weight, linear.bias
        return head

    def forward(  # type: ignore[override]
        self,
        hidden: Tensor,
        spec: ScoreSpec | None = None,
        posterior_hidden: Tensor | None = None,
        posterior_head: "ScoringHead | None" = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Logits as any output layer where `spec` is None, otherwise `Scores` (as a plain tuple).

        hidden: [T, width], states that predict the targets. posterior_hidden: the same under the posterior,
        without gradient; `posterior_head` is its output layer, this one by default.
        """
        if spec is None:
            return super().forward(hidden)
        head = posterior_head if posterior_head is not None else self
        return _ChunkedScores.apply(hidden, self.weight, self.bias, spec, posterior_hidden, head)


class _ChunkedScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        spec: ScoreSpec,
        posterior_hidden: Tensor | None,
        posterior_head: ScoringHead,
    ) -> tuple[Tensor, ...]:
        ctx.spec, ctx.posterior_head = spec, posterior_head
        out = _empty_scores(hidden, spec)
        with _gathered(posterior_head, weight):
            for part in _chunks(hidden.shape[0], spec.chunk_size):
                log_q = _log_probs(hidden[part], weight, bias, spec.temperature)
                log_p = None
                if posterior_hidden is not None:
                    log_p = _posterior_log_probs(posterior_hidden, posterior_head, part, spec)
                _score_chunk(out, part, log_q, log_p, spec)
        ctx.save_for_backward(hidden, weight, bias, posterior_hidden, out.candidates)
        ctx.mark_non_differentiable(*out[3:])
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, posterior_hidden, candidates = ctx.saved_tensors
        spec: ScoreSpec = ctx.spec
        grad_target, grad_candidates, grad_ce = grads[:3]
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        # float32: many small contributions are added up, one per chunk
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if needs_bias else None
        with _gathered(ctx.posterior_head, weight):
            for part in _chunks(hidden.shape[0], spec.chunk_size):
                q = _log_probs(hidden[part], weight, bias, spec.temperature).exp_()
                total = grad_target[part] + grad_candidates[part].sum(-1)
                if spec.cross_entropy:
                    p = _posterior_log_probs(posterior_hidden, ctx.posterior_head, part, spec).exp_()
                    grad_logits = q.mul_((grad_ce[part] - total)[:, None])
                    grad_logits.addcmul_(p, grad_ce[part][:, None], value=-1)
                else:
                    grad_logits = q.mul_(-total[:, None])
                grad_logits.scatter_add_(1, candidates[part], grad_candidates[part])
                grad_logits.scatter_add_(1, spec.targets[part][:, None], grad_target[part][:, None])
                grad_logits = (grad_logits / spec.temperature).to(hidden.dtype)
                if grad_hidden is not None:
                    grad_hidden[part] = grad_logits @ weight
                if grad_weight is not None:
                    grad_weight += grad_logits.T @ hidden[part]
                if grad_bias is not None:
                    grad_bias += grad_logits.sum(0, dtype=torch.float32)
        return (
            grad_hidden,
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None,
            None,
            None,
        )


def _empty_scores(hidden: Tensor, spec: ScoreSpec) -> Scores:
    positions = hidden.shape[0]
    n = spec.num_candidates

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float32, device=hidden.device)

    return Scores(
        target_logprobs=zeros(positions),
        candidate_logprobs=zeros(positions, n),
        cross_entropy=zeros(positions),
        candidates=torch.zeros((positions, n), dtype=torch.long, device=hidden.device),
        posterior_target_logprobs=zeros(positions),
        posterior_candidate_logprobs=zeros(positions, n),
        entropy=zeros(positions),
        kl=zeros(positions),
    )


def _score_chunk(out: Scores, part: slice, log_q: Tensor, log_p: Tensor | None, spec: ScoreSpec) -> None:
    """Fills rows `part` of `out` from the chunk's log-probabilities, both [chunk, vocabulary]."""
    targets = spec.targets[part][:, None]
    q = log_q.exp()
    out.entropy[part] = -_sum_products(q, log_q)
    out.target_logprobs[part] = log_q.gather(1, targets)[:, 0]
    if spec.num_candidates:
        out.candidates[part] = _candidates(q, part, spec)
        out.candidate_logprobs[part] = log_q.gather(1, out.candidates[part])
    if log_p is not None:
        p = log_p.exp()
        cross_entropy = -_sum_products(p, log_q)
        out.kl[part] = _sum_products(p, log_p) + cross_entropy
        out.posterior_target_logprobs[part] = log_p.gather(1, targets)[:, 0]
        out.posterior_candidate_logprobs[part] = log_p.gather(1, out.candidates[part])
        if spec.cross_entropy:
            out.cross_entropy[part] = cross_entropy


def _candidates(q: Tensor, part: slice, spec: ScoreSpec) -> Tensor:
    if spec.candidates is not None:
        return spec.candidates[part]
    assert spec.uniforms is not None
    drawn = draw_candidates(q, spec.uniforms[part], spec.top_k)
    if spec.force_target:
        targets = spec.targets[part]
        missing = (drawn != targets[:, None]).all(1)
        drawn[:, -1] = torch.where(missing, targets, drawn[:, -1])
    return drawn


def draw_candidates(q: Tensor, uniforms: Tensor, top_k: int) -> Tensor:
    """int64 [T, n]: for each uniform number, the token at that quantile of q [T, V] cut to its top k.

    Inverse-CDF sampling, so that the draw is a function of q and of the uniforms alone.
    """
    if 0 < top_k < q.shape[1]:
        weights, tokens = q.topk(top_k, dim=1)
    else:
        weights, tokens = q, None
    cumulative = weights.cumsum(1)
    picks = torch.searchsorted(cumulative, uniforms * cumulative[:, -1:], right=True)
    picks.clamp_(max=weights.shape[1] - 1)
    return picks if tokens is None else tokens.gather(1, picks)


def _log_probs(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    return torch.log_softmax(nn.functional.linear(hidden, weight, bias).float() / temperature, dim=-1)


def _posterior_log_probs(hidden: Tensor, head: ScoringHead, part: slice, spec: ScoreSpec) -> Tensor:
    return _log_probs(hidden[part], head.weight, head.bias, spec.temperature)


def _sum_products(p: Tensor, log_p: Tensor) -> Tensor:
    """Σ p log p over the vocabulary with 0 · (−∞) = 0."""
    return (p * log_p).nan_to_num_(nan=0.0).sum(-1)


def _chunks(total: int, size: int) -> list[slice]:
    step = size if size > 0 else max(total, 1)
    return [slice(start, min(start + step, total)) for start in range(0, total, step)]


def _gathered(head: ScoringHead, weight: Tensor) -> AbstractContextManager:
    """Holds another model's ZeRO-3 output layer together while it is used; a no-op for everything else."""
    if head.weight is weight or not hasattr(head.weight, "ds_id"):
        return nullcontext()
    from deepspeed.runtime.zero import GatheredParameters

    return GatheredParameters([p for p in (head.weight, head.bias) if p is not None])
