r"""The one way from hidden states to log-probabilities: through the output layer in chunks of positions.

No tensor of the whole batch has a vocabulary dimension, neither forward nor backward. With q = softmax(ℓ/τ), p likewise
from the posterior's logits:

* d log q(a) / dℓ = (onehot(a) − q) / τ
* d CE(p, q) / dℓ = (q − p) / τ     (p held constant)

A loss that is a sum over tokens is known as soon as a chunk is scored, so its gradient is made there, from the logits
that are at hand (`TokenLoss`). For any other loss the backward pass makes each chunk's logits anew.

Everything with a vocabulary dimension is float32, whatever the dtype of the model, and changed in place.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from openrlhf.models.scores import Scores, ScoreSpec

# The part of a loss that some of the scored tokens contribute, from their scores: slice or int64 indices → scalar.
TokenLoss = Callable[[Scores, "slice | Tensor"], Tensor]

# Logits per position that are computed exactly where the product rounds its result to 16 bits.
EXACT_LOGITS = 16
# Positions whose posterior logits are held at once where only some of them are wanted.
_POSTERIOR_ROWS = 256
# Tokens of the vocabulary whose 16-bit logits or gradients are held at once, where there is a float32 tensor for all.
_BLOCK = 4096
# Positions that are worked on at once where an operation needs further memory for each.
_FEW_ROWS = 16
_FLOAT32_PRODUCTS = hasattr(torch.ops.aten.mm, "dtype")


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
        token_loss: TokenLoss | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Logits as any output layer where `spec` is None, otherwise `Scores` (as a plain tuple).

        hidden: [T, width], states that predict the targets. posterior_hidden: the same under the posterior, [T, width]
        or where `spec.hinted` says, without gradient; `posterior_head` is its output layer, this one by default.
        token_loss: the sum of its parts comes behind the scores, a scalar and the only one of them with gradient. It is
        called once per chunk, and backward may be called once.
        """
        if spec is None:
            return super().forward(hidden)
        head = posterior_head if posterior_head is not None else self
        inputs = (hidden, self.weight, self.bias, spec, posterior_hidden, head)
        return _ChunkedScores.apply(*inputs) if token_loss is None else _ChunkedLoss.apply(*inputs, token_loss)


class _ChunkedScores(torch.autograd.Function):
    """Scores, each with its gradient: the backward pass computes the logits a second time."""

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
        chunks = _Chunks(hidden, weight, bias, spec, posterior_hidden, posterior_head, _Workspace(hidden.device))
        out = _empty_scores(hidden, chunks.spec)
        with _gathered(posterior_head, weight):
            for part in chunks.parts():
                _fill(out, part, chunks.read(part).scores)
        ctx.save_for_backward(hidden, weight, bias, posterior_hidden, out.candidates)
        ctx.mark_non_differentiable(*out[3:])
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, posterior_hidden, candidates = ctx.saved_tensors
        if not ctx.spec.cross_entropy:
            posterior_hidden = None  # the gradient knows no posterior
        space, spec = _Workspace(hidden.device), ctx.spec.again(candidates)
        chunks = _Chunks(hidden, weight, bias, spec, posterior_hidden, ctx.posterior_head, space)
        gradients = _Gradients(hidden, weight, bias, ctx.needs_input_grad)
        with _gathered(ctx.posterior_head, weight):
            for part in chunks.parts():
                gradients.add(part, chunks.read(part).logit_gradients(*(grad[part] for grad in grads[:3])), space)
        return (*gradients.scaled(None), None, None, None)


class _ChunkedLoss(torch.autograd.Function):
    """Scores without gradient, and a sum over tokens with its own, which is ready when the forward pass is."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        spec: ScoreSpec,
        posterior_hidden: Tensor | None,
        posterior_head: ScoringHead,
        token_loss: TokenLoss,
    ) -> tuple[Tensor, ...]:
        space = _Workspace(hidden.device)
        chunks = _Chunks(hidden, weight, bias, spec, posterior_hidden, posterior_head, space)
        gradients = _Gradients(hidden, weight, bias, ctx.needs_input_grad)
        out = _empty_scores(hidden, chunks.spec)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        with _gathered(posterior_head, weight):
            for part in chunks.parts():
                chunk = chunks.read(part)
                loss, grads = _differentiated(token_loss, chunk.scores, part)
                total += loss
                gradients.add(part, chunk.logit_gradients(*grads), space)
                _fill(out, part, chunk.scores)
        ctx.gradients = gradients
        ctx.mark_non_differentiable(*out)
        return (*out, total)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the gradient of a chunked loss was used up by an earlier backward pass")
        return (*gradients.scaled(grads[-1]), None, None, None, None)


def _differentiated(token_loss: TokenLoss, scores: Scores, part: slice) -> tuple[Tensor, list[Tensor]]:
    """A chunk's part of the loss, and its derivatives by the first three fields of the scores."""
    leaves = [field.detach().requires_grad_() for field in scores[:3]]
    with torch.enable_grad():
        loss = token_loss(Scores._make([*leaves, *scores[3:]]), part)
    if not loss.requires_grad:
        return loss, [torch.zeros_like(leaf) for leaf in leaves]
    return loss.detach(), list(torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True))


class _Workspace:
    """Memory in which one chunk after another is computed.

    On the CPU a fresh tensor of this size is new pages, which the system clears one by one: that took longer than the
    arithmetic on them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._blocks: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """[rows, columns], with whatever stands there; until the next `take` of the same name and dtype."""
        block = self._blocks.get((name, dtype))
        if block is None or block.numel() < rows * columns:
            block = torch.empty(rows * columns, dtype=dtype, device=self._device)
            self._blocks[name, dtype] = block
        return block[: rows * columns].view(rows, columns)


class _Layer(NamedTuple):
    """An output layer's parameters: logits over temperature, in float32."""

    weight: Tensor
    bias: Tensor | None
    temperature: float

    def logits(self, hidden: Tensor, space: _Workspace, name: str) -> Tensor:
        """[t, vocabulary], in the place of that name."""
        logits = space.take(name, len(hidden), len(self.weight))
        if hidden.dtype == torch.float32:
            torch.mm(hidden, self.weight.T, out=logits)
        elif hidden.is_cuda and _FLOAT32_PRODUCTS:
            torch.mm(hidden, self.weight.T, out_dtype=torch.float32, out=logits)
        else:
            for own, rows in zip(logits.split(_BLOCK, 1), self.weight.split(_BLOCK), strict=True):
                own.copy_(torch.mm(hidden, rows.T, out=space.take("block", len(own), len(rows), hidden.dtype)))
        if self.bias is not None:
            logits += self.bias
            logits.clamp_(min=torch.finfo(torch.float32).min)  # a token that a bias of −∞ excludes: 0 · ℓ must be 0
        if self.temperature != 1.0:
            logits.div_(self.temperature)
        if self._rounded(hidden):
            self.correct_(logits, hidden, logits.topk(min(EXACT_LOGITS, logits.shape[1]), 1).indices)
        return logits

    def correct_(self, logits: Tensor, hidden: Tensor, tokens: Tensor) -> None:
        """Puts exact logits in the place of rounded ones, for `tokens` [t, m]."""
        if not self._rounded(hidden) or not tokens.numel():
            return
        for own, states, asked in zip(*(x.split(_FEW_ROWS) for x in (logits, hidden, tokens)), strict=True):
            exact = (self.weight[asked].float() @ states.float()[:, :, None])[:, :, 0]
            if self.bias is not None:
                exact += self.bias[asked]
            own.scatter_(1, asked, exact / self.temperature)

    @staticmethod
    def _rounded(hidden: Tensor) -> bool:
        """Whether the product's result is rounded to 16 bits: no CPU kernel gives float32 for 16-bit operands."""
        return hidden.dtype != torch.float32 and not (hidden.is_cuda and _FLOAT32_PRODUCTS)


class _Chunk(NamedTuple):
    """What is known of t positions. q and p [t, vocabulary]; p only where the cross-entropy is asked for."""

    spec: ScoreSpec
    scores: Scores
    q: Tensor
    p: Tensor | None

    def logit_gradients(self, target: Tensor, candidates: Tensor, cross_entropy: Tensor) -> Tensor:
        """d loss / d logits [t, vocabulary] in q's place, from d loss / d scores, [t], [t, n], [t]."""
        factor = 1.0 / self.spec.temperature
        total = target + candidates.sum(-1)
        if self.p is not None:
            self.q.mul_(((cross_entropy - total) * factor)[:, None])
            self.q.addcmul_(self.p, (cross_entropy * factor)[:, None], value=-1)
        else:
            self.q.mul_((total * -factor)[:, None])
        self.q.scatter_add_(1, self.scores.candidates, candidates * factor)
        return self.q.scatter_add_(1, self.spec.targets[:, None], target[:, None] * factor)


class _Chunks:
    """The inputs of a chunk loop. spec: with no more candidates than there are tokens."""

    def __init__(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        spec: ScoreSpec,
        posterior_hidden: Tensor | None,
        posterior_head: ScoringHead,
        space: _Workspace,
    ) -> None:
        if spec.posterior_top_k:
            spec = replace(spec, posterior_top_k=min(spec.posterior_top_k, weight.shape[0]))
        self._hidden, self._posterior_hidden, self.spec, self._space = hidden, posterior_hidden, spec, space
        self._layer = _Layer(weight, bias, spec.temperature)
        self._posterior_head = posterior_head

    def parts(self) -> list[slice]:
        total = self._hidden.shape[0]
        step = self.spec.chunk_size if self.spec.chunk_size > 0 else max(total, 1)
        return [slice(start, min(start + step, total)) for start in range(0, total, step)]

    def read(self, part: slice) -> _Chunk:
        """Its tensors with a vocabulary dimension are overwritten when the next part is read."""
        hidden, spec, layer = self._hidden[part], self.spec.part(part), self._layer
        logits = layer.logits(hidden, self._space, "q")
        targets = spec.targets[:, None]
        layer.correct_(logits, hidden, targets)
        wanted = torch.cat([targets, _candidates(logits, spec)], 1)
        layer.correct_(logits, hidden, wanted)
        p, cross = None, None
        if self._posterior_hidden is not None:
            p = self._posterior(self._posterior_hidden, part, logits, wanted, spec)
            if spec.posterior_top_k:
                wanted = p.wanted
                layer.correct_(logits, hidden, wanted)
            if spec.cross_entropy:
                logits -= logits.amax(1, keepdim=True)  # so that little cancels between Σ p ℓ and the normaliser
                cross = _dot(p.probs, logits)
        q = _normalised(logits, wanted, spec.measured_rows)
        contrast = self._contrast(q, spec)
        cross = None if cross is None else q.normaliser[:, 0] - cross
        scores = _scores(q, p, contrast, cross, spec)
        return _Chunk(spec, scores, q.probs, p.probs if p is not None and spec.cross_entropy else None)

    def _posterior(
        self, hidden: Tensor, part: slice, logits: Tensor, wanted: Tensor, spec: ScoreSpec
    ) -> "_Distribution":
        """p, which is q (from `logits`) where a row has no hint."""
        measured = torch.zeros(len(wanted), dtype=torch.bool, device=wanted.device)
        measured[spec.measured_rows] = True
        if spec.hinted is None:
            return self._read_posterior(hidden[part], wanted, measured, spec)
        places = spec.hinted[:, 0]
        there = places >= 0
        if bool(there.all()):
            return self._read_posterior(hidden[places], wanted, measured, spec)
        apart = [
            self._read_posterior(hidden[places[there]], wanted[there], measured[there], spec),
            _as_asked(logits[~there], _with_likeliest(logits[~there], wanted[~there], spec), measured[~there], spec),
        ]
        order = torch.cat([there.nonzero()[:, 0], (~there).nonzero()[:, 0]])
        return _Distribution.joined(apart, order, measured)

    def _read_posterior(
        self, hidden: Tensor, wanted: Tensor, measured: Tensor, spec: ScoreSpec, name: str = "p"
    ) -> "_Distribution":
        """Without the cross-entropy its probabilities are not kept. name: of the workspace's place for logits."""
        layer = _Layer(self._posterior_head.weight, self._posterior_head.bias, spec.temperature)
        size = len(hidden) if spec.cross_entropy else _POSTERIOR_ROWS
        blocks = []
        for own, asked, rows in zip(hidden.split(size), wanted.split(size), measured.split(size), strict=True):
            logits = layer.logits(own, self._space, name)
            asked = _with_likeliest(logits, asked, spec)
            layer.correct_(logits, own, asked)
            blocks.append(_as_asked(logits, asked, rows, spec))
        return blocks[0] if len(blocks) == 1 else _Distribution(*map(torch.cat, zip(*blocks, strict=True)))

    def _contrast(self, q: "_Distribution", spec: ScoreSpec) -> Tensor:
        """[t, 1 + n]: log-probabilities of what is asked for, under the mixture of the rows of further hints; q's own
        where there are none."""
        if self._posterior_hidden is None or spec.hinted is None or spec.hinted.shape[1] < 2:
            return q.chosen
        further = spec.hinted[:, 1:]
        hidden, spec = self._posterior_hidden, replace(spec, posterior_top_k=0, cross_entropy=False)
        total, count = torch.full_like(q.chosen, -torch.inf), (further >= 0).sum(1, keepdim=True)
        for places in further.T:
            rows = (places >= 0).nonzero()[:, 0]
            if rows.numel():
                nowhere = torch.zeros_like(rows, dtype=torch.bool)
                found = self._read_posterior(hidden[places[rows]], q.wanted[rows], nowhere, spec, "contrast")
                total[rows] = torch.logaddexp(total[rows], found.chosen)
        return torch.where(count > 0, total - count.clamp(min=1).log(), q.chosen)


class _Distribution(NamedTuple):
    """One distribution per position of a chunk."""

    probs: Tensor  # [t, vocabulary], or empty where nobody asks for them
    normaliser: Tensor  # [t, 1], logarithm
    wanted: Tensor  # [t, 1 + n] int64, the target and the candidates
    chosen: Tensor  # [t, 1 + n] their log-probabilities
    measured: Tensor  # [m, vocabulary] log-probabilities of the positions whose entropy is asked for

    @classmethod
    def joined(cls, parts: Sequence["_Distribution"], order: Tensor, measured: Tensor) -> "_Distribution":
        """parts: of positions that lie in `order` [t] when they stand one after the other. measured: bool [t]."""
        places, among = order.argsort(), order[measured[order]].argsort()
        probs, normaliser, wanted, chosen, logs = map(torch.cat, zip(*parts, strict=True))
        kept = probs[places] if len(probs) else probs
        return cls(kept, normaliser[places], wanted[places], chosen[places], logs[among])


def _as_asked(logits: Tensor, wanted: Tensor, measured: Tensor, spec: ScoreSpec) -> _Distribution:
    """A posterior's distribution, without the probabilities where nobody asks for them. Takes `logits` over."""
    found = _normalised(logits, wanted, measured.nonzero()[:, 0])
    return found if spec.cross_entropy else found._replace(probs=logits.new_empty((0, 0)))


def _with_likeliest(logits: Tensor, wanted: Tensor, spec: ScoreSpec) -> Tensor:
    """Adds the posterior's likeliest tokens to those that are wanted, if they are the candidates."""
    if not spec.posterior_top_k:
        return wanted
    return torch.cat([wanted, logits.topk(spec.posterior_top_k, 1).indices], 1)


def _normalised(logits: Tensor, wanted: Tensor, rows: Tensor | slice) -> _Distribution:
    """Takes `logits` over: the probabilities come in their place."""
    chosen = logits.gather(1, wanted)
    measured = logits[rows].clone() if isinstance(rows, slice) else logits[rows]
    peak, place = logits.max(1, keepdim=True)
    # The fused kernel works row by row, so on the CPU its result may take its input's place (a test watches that).
    probs = torch.softmax(logits, 1, out=logits) if logits.is_cpu else torch.softmax(logits, 1)
    normaliser = peak - probs.gather(1, place).log()
    return _Distribution(probs, normaliser, wanted, chosen.sub_(normaliser), measured.sub_(normaliser[rows]))


def _scores(
    q: _Distribution, p: _Distribution | None, contrast: Tensor, cross_entropy: Tensor | None, spec: ScoreSpec
) -> Scores:
    if p is None:
        contrast = chosen_p = torch.zeros_like(q.chosen)
    else:
        chosen_p = p.chosen
    zeros = torch.zeros_like(q.chosen[:, 0])
    entropy, kl = torch.full_like(zeros, torch.nan), zeros if p is None else torch.full_like(zeros, torch.nan)
    rows = spec.measured_rows
    entropy[rows] = -_expectation(q.measured, q.measured)
    if p is not None:
        kl[rows] = _expectation(p.measured, p.measured) - _expectation(p.measured, q.measured)
    return Scores(
        target_logprobs=q.chosen[:, 0],
        candidate_logprobs=q.chosen[:, 1:],
        cross_entropy=zeros if cross_entropy is None else cross_entropy,
        candidates=q.wanted[:, 1:],
        posterior_target_logprobs=chosen_p[:, 0],
        posterior_candidate_logprobs=chosen_p[:, 1:],
        contrast_target_logprobs=contrast[:, 0],
        contrast_candidate_logprobs=contrast[:, 1:],
        entropy=entropy,
        kl=kl,
    )


class _Gradients:
    """Of hidden states and of the output layer's parameters, as far as they are needed, added up over chunks.

    The parameters' are float32, since many small contributions are added up; `scaled` gives them their own dtype.
    """

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, needed: tuple[bool, ...]) -> None:
        self._inputs = (hidden, weight, bias)
        self._hidden = torch.empty_like(hidden) if needed[0] else None
        self._weight = torch.empty_like(weight, dtype=torch.float32) if needed[1] else None
        self._added = 0.0  # the factor of what stands in the weight's gradient: nothing yet
        self._bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and needed[2] else None

    def add(self, part: slice, grad_logits: Tensor, space: _Workspace) -> None:
        """grad_logits: float32 [t, vocabulary]."""
        hidden, weight, _ = self._inputs
        if self._bias is not None:
            self._bias += grad_logits.sum(0)
        if hidden.dtype != torch.float32 and not (hidden.is_cuda and _FLOAT32_PRODUCTS):
            self._add_rounded(part, grad_logits, space)
        else:
            rounded = grad_logits.to(hidden.dtype)
            if self._hidden is not None:
                torch.mm(rounded, weight, out=self._hidden[part])
            if self._weight is not None and hidden.dtype == torch.float32:
                self._weight.addmm_(rounded.T, hidden[part], beta=self._added)
            elif self._weight is not None:
                product = torch.mm(rounded.T, hidden[part], out_dtype=torch.float32)
                self._weight = self._weight.add_(product) if self._added else product
        self._added = 1.0

    def _add_rounded(self, part: slice, grad_logits: Tensor, space: _Workspace) -> None:
        """Where products of 16-bit numbers are 16-bit numbers: one block of the vocabulary after another."""
        hidden, weight, _ = self._inputs
        states = torch.zeros_like(hidden[part], dtype=torch.float32)
        totals = (None,) * len(weight) if self._weight is None else self._weight.split(_BLOCK)
        for own, rows, total in zip(grad_logits.split(_BLOCK, 1), weight.split(_BLOCK), totals, strict=False):
            block = space.take("block", len(own), len(rows), hidden.dtype).copy_(own)
            if self._hidden is not None:
                states += block @ rows
            if total is not None:
                product = torch.mm(
                    block.T, hidden[part], out=space.take("weight", len(rows), rows.shape[1], hidden.dtype)
                )
                total.add_(product) if self._added else total.copy_(product)
        if self._hidden is not None:
            self._hidden[part] = states

    def scaled(self, factor: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Hands the gradients over, times the scalar `factor`."""
        if self._weight is not None and not self._added:
            self._weight.zero_()
        # On the CPU it costs nothing to see that the whole weight needs no pass.
        found = (self._hidden, self._weight, self._bias)
        if factor is not None and not (factor.is_cpu and float(factor) == 1.0):
            for gradient in found:
                if gradient is not None:
                    gradient *= factor
        hidden, weight, bias = (
            None if gradient is None or like is None else gradient.to(like.dtype)
            for gradient, like in zip(found, self._inputs, strict=True)
        )
        return hidden, weight, bias


def _empty_scores(hidden: Tensor, spec: ScoreSpec) -> Scores:
    positions, n = hidden.shape[0], spec.num_candidates

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float32, device=hidden.device)

    return Scores(
        target_logprobs=zeros(positions),
        candidate_logprobs=zeros(positions, n),
        cross_entropy=zeros(positions),
        candidates=torch.zeros((positions, n), dtype=torch.long, device=hidden.device),
        posterior_target_logprobs=zeros(positions),
        posterior_candidate_logprobs=zeros(positions, n),
        contrast_target_logprobs=zeros(positions),
        contrast_candidate_logprobs=zeros(positions, n),
        entropy=zeros(positions),
        kl=zeros(positions),
    )


def _fill(out: Scores, part: slice, scores: Scores) -> None:
    for whole, own in zip(out, scores, strict=True):
        whole[part] = own


def _candidates(logits: Tensor, spec: ScoreSpec) -> Tensor:
    if spec.candidates is not None:
        return spec.candidates
    if spec.uniforms is None:
        return spec.targets.new_empty((len(spec.targets), 0))
    drawn = draw_candidates(logits, spec.uniforms, spec.top_k)
    if spec.force_target:
        missing = (drawn != spec.targets[:, None]).all(1)
        drawn[:, -1] = torch.where(missing, spec.targets, drawn[:, -1])
    return drawn


def draw_candidates(logits: Tensor, uniforms: Tensor, top_k: int) -> Tensor:
    """int64 [T, n]: for each uniform number, the token at that quantile of softmax(logits) [T, V] cut to its top k.

    Inverse-CDF sampling, so that the draw is a function of q and of the uniforms alone.
    """
    tokens = None
    if 0 < top_k < logits.shape[1]:
        logits, tokens = logits.topk(top_k, dim=1)
    # In whole units of 2^-30: torch has no deterministic sum of floats over a row on CUDA, and integers need none.
    units = logits.softmax(1).mul_(2.0**30).round_().int()
    cumulative = units.cumsum(1, dtype=torch.int32)
    picks = torch.searchsorted(cumulative, (uniforms.double() * cumulative[:, -1:]).int(), right=True)
    picks.clamp_(max=logits.shape[1] - 1)
    return picks if tokens is None else tokens.gather(1, picks)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """[t]: the products of rows, without a tensor of their elements' products."""
    return torch.bmm(left[:, None], right[:, :, None])[:, 0, 0]


def _expectation(log_p: Tensor, values: Tensor) -> Tensor:
    """[m]: Σ_a p(a) v(a) over the vocabulary, with 0 · (−∞) = 0."""
    blocks = zip(log_p.split(_FEW_ROWS), values.split(_FEW_ROWS), strict=True)
    return torch.cat([own.exp().mul_(value).nan_to_num_(nan=0.0).sum(-1) for own, value in blocks])


def _gathered(head: ScoringHead, weight: Tensor) -> AbstractContextManager:
    """Holds another model's ZeRO-3 output layer together while it is used; a no-op for everything else."""
    if head.weight is weight or not hasattr(head.weight, "ds_id"):
        return nullcontext()
    from deepspeed.runtime.zero import GatheredParameters

    return GatheredParameters([p for p in (head.weight, head.bias) if p is not None])
