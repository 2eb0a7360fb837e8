r"""What the answer in the hint says of each token of a response: the numbers behind InTRO, one token at a time.

With q_t = π(· | x, z_<t) and p_t = π(· | x, h(y), z_<t), both at the loss's temperature:
log w_t = log p_t(z_t) − log q_t(z_t), the candidates that InTRO would draw and their factors w = clip(p/q), what p_t
likes best, the entropy of q_t and KL(p_t ‖ q_t).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from openrlhf.methods.intro import Intro, correction_factors
from openrlhf.models.actor import Actor
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.scores import Scores, ScoreSpec

PREFERRED = 5  # tokens that the posterior likes best
_POSITIONS = 128  # whose logits are held at once


@dataclass(frozen=True)
class Case:
    """A response to look at, as token ids. hint: what the posterior reads between prompt and response.

    wrong_hint: the same with another answer, for contrast; () for none. title: where it comes from. prompt, answer:
    as text. columns: numbers per token that a run kept, such as advantages. right: whether its answer is, if known.
    """

    title: str
    prompt: str
    answer: str
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    hint: tuple[int, ...]
    wrong_hint: tuple[int, ...] = ()
    wrong_answer: str = ""
    right: bool | None = None
    columns: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """One model's view of a case: `tokens` are JSON objects, see docs/explain.md."""

    case: Case
    model: str
    tokens: list[dict[str, Any]]

    def mean(self, name: str) -> float:
        values = [token[name] for token in self.tokens if token.get(name) is not None]
        return sum(values) / len(values) if values else math.nan

    def as_json(self) -> dict[str, Any]:
        case = self.case
        said = {"title": case.title, "model": self.model, "prompt": case.prompt, "answer": case.answer}
        if case.wrong_answer:
            said["wrong_answer"] = case.wrong_answer
        names = ("log_q", "log_p", "log_w", "entropy", "kl")
        means = {name: _finite(self.mean(name)) for name in names}
        return {**said, "right": case.right, "means": means, "tokens": self.tokens}


@torch.no_grad()
def paint(
    case: Case,
    model: Actor,
    tokenizer: Any,
    settings: Intro,
    *,
    name: str,
    seed: int = 0,
    posterior: Actor | None = None,
) -> Picture:
    """The numbers of one response. model: in evaluation mode. posterior: who computes p, the model itself by default.

    settings: candidates, cut, clip and temperature of the loss. seed: of the candidates.
    """
    device = next(model.parameters()).device
    posterior = posterior or model
    start, length = len(case.prompt_ids), len(case.response_ids)
    rows = _rows(case, (), device)
    hidden, hinted = model(rows), posterior(_rows(case, case.hint, device))
    uniforms = torch.rand((length, settings.num_candidates), generator=torch.Generator().manual_seed(seed))
    spec = ScoreSpec(
        rows.targets, uniforms.to(device), top_k=settings.top_k, temperature=settings.temperature, chunk_size=_POSITIONS
    )
    scores = Scores(*model.head(hidden, spec, hinted, posterior.head))
    factors = correction_factors(scores, settings.clip_max)
    preferred = _preferred(hidden, hinted, model, posterior, settings.temperature)
    wrong: list[float] = []
    if case.wrong_hint:
        other = posterior(_rows(case, case.wrong_hint, device))
        plain = ScoreSpec(rows.targets, temperature=settings.temperature, measured=False, chunk_size=_POSITIONS)
        wrong = Scores(*posterior.head(other, plain)).target_logprobs.tolist()
    pieces = token_texts(tokenizer, case.response_ids, before=case.prompt_ids[start - 1 :])
    tokens = []
    for t in range(length):
        log_q, log_p = float(scores.target_logprobs[t]), float(scores.posterior_target_logprobs[t])
        drawn = zip(scores.candidates[t].tolist(), scores.candidate_logprobs[t].tolist(),
                    scores.posterior_candidate_logprobs[t].tolist(), factors[t].tolist(), strict=True)  # fmt: skip
        token: dict[str, Any] = {
            "text": pieces[t],
            "id": case.response_ids[t],
            "log_q": _finite(log_q),
            "log_p": _finite(log_p),
            "log_w": _finite(log_p - log_q),
            "entropy": _finite(float(scores.entropy[t])),
            "kl": _finite(float(scores.kl[t])),
            "candidates": [
                {"text": one_text(tokenizer, a), "id": a, "q": math.exp(q), "p": math.exp(p), "w": w}
                for a, q, p, w in drawn
            ],
            "preferred": [
                {"text": one_text(tokenizer, a), "id": a, "q": math.exp(q), "p": math.exp(p)}
                for a, q, p in preferred[t]
            ],
        }
        if wrong:
            token |= {"log_p_wrong": _finite(wrong[t]), "log_w_wrong": _finite(wrong[t] - log_q)}
        token |= {name: _finite(values[t]) for name, values in case.columns.items() if t < len(values)}
        tokens.append(token)
    return Picture(case, name, tokens)


def _rows(case: Case, hint: Sequence[int], device: torch.device) -> RaggedRows:
    """The row with the hint between prompt and response, all of the response scored."""
    front = len(case.prompt_ids) + len(hint)
    ids = [*case.prompt_ids, *hint, *case.response_ids]
    return RaggedRows.build([ids], [range(front, len(ids))], device)


def _preferred(
    hidden: torch.Tensor, hinted: torch.Tensor, model: Actor, posterior: Actor, temperature: float
) -> list[list[tuple[int, float, float]]]:
    """(token, log q, log p) of the posterior's likeliest tokens at each position."""
    found = []
    for own, other in zip(hidden.split(_POSITIONS), hinted.split(_POSITIONS), strict=True):
        q = (model.head(own).float() / temperature).log_softmax(-1)
        p = (posterior.head(other).float() / temperature).log_softmax(-1)
        best = p.topk(min(PREFERRED, p.shape[1]), 1)
        found += [
            list(zip(*row, strict=True))
            for row in zip(best.indices.tolist(), q.gather(1, best.indices).tolist(), best.values.tolist(), strict=True)
        ]
    return found


def token_texts(tokenizer: Any, ids: Sequence[int], before: Sequence[int] = ()) -> list[str]:
    """Each token's share of the text, as it reads behind the token before it; bytes of no character are �."""
    texts, last = [], list(before[-1:])
    for token in ids:
        front, whole = _decoded(tokenizer, last), _decoded(tokenizer, [*last, token])
        joined = bool(last) and bool(front) and whole.startswith(front)
        texts.append(whole[len(front) :] if joined else _decoded(tokenizer, [token]))
        last = [token]
    return texts


def one_text(tokenizer: Any, token: int) -> str:
    return _decoded(tokenizer, [token])


def _decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _finite(value: float) -> float | None:
    """JSON has no infinity: a token that is impossible has none of these numbers."""
    return round(value, 6) if math.isfinite(value) else None
