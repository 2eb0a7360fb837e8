"""InTRO's loss and gradient through the output layer, against its four matrix products and the plain way.

Everything of one row runs in turns in one process; times are the least of the repetitions, memory is the peak above
what was there before.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import MicroBatch, collate
from openrlhf.methods.intro import Intro, IntroObjective
from openrlhf.models.scorer import ScoringHead
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.utils.tally import Tally

WIDTH, VOCABULARY = 1536, 151_936
OBJECTIVE = IntroObjective(Intro())
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


class Inputs:
    """T positions of random hidden states, whose logits have deviation 2."""

    def __init__(self, tokens: int, dtype: torch.dtype) -> None:
        generator = torch.manual_seed(0)
        self.hidden = torch.randn(tokens, WIDTH, generator=generator).to(dtype).requires_grad_()
        self.posterior = (self.hidden.detach() + 0.1 * torch.randn(tokens, WIDTH, generator=generator)).to(dtype)
        self.head = ScoringHead(WIDTH, VOCABULARY, bias=False, dtype=dtype)
        with torch.no_grad():
            self.head.weight.normal_(std=2 * WIDTH**-0.5, generator=generator)
        ids = torch.randint(0, VOCABULARY, (tokens + 1,), generator=generator).tolist()
        row = Example(tuple(ids), tuple(range(1, tokens + 1)), 1.0 / tokens)
        self.batch: MicroBatch = collate([row], torch.device("cpu"), num_candidates=OBJECTIVE.num_candidates)


def products(inputs: Inputs) -> None:
    """Logits of q and p, gradients of states and weight, and nothing else; 1,024 positions at a time."""
    weight = inputs.head.weight.detach()
    for h, p in zip(inputs.hidden.detach().split(1024), inputs.posterior.split(1024), strict=True):
        q = h @ weight.T
        p @ weight.T
        q @ weight
        q.T @ h


def ours(inputs: Inputs, one_pass: bool = True) -> None:
    batch = inputs.batch

    def token_loss(scores: Scores, part: slice | Tensor) -> Tensor:
        return OBJECTIVE.loss(scores, batch.part(part), Tally())

    outputs = inputs.head(
        inputs.hidden, OBJECTIVE.spec(batch), inputs.posterior, None, token_loss if one_pass else None
    )
    loss = outputs[-1] if one_pass else OBJECTIVE.loss(Scores(*outputs), batch, Tally())
    loss.backward()


def plain(inputs: Inputs) -> None:
    """Full logits, log_softmax, autograd; the posterior detached."""
    batch = inputs.batch
    log_q = inputs.head(inputs.hidden).float().log_softmax(-1)
    with torch.no_grad():
        log_p = inputs.head(inputs.posterior).float().log_softmax(-1)
        top = log_q.topk(OBJECTIVE.settings.top_k)
        cumulative = top.values.exp().cumsum(1)
        drawn = torch.searchsorted(cumulative, batch.uniforms * cumulative[:, -1:]).clamp_(max=top.values.shape[1] - 1)
        candidates = top.indices.gather(1, drawn)
        w = (log_p.gather(1, candidates) - log_q.gather(1, candidates)).exp().clamp(max=OBJECTIVE.settings.clip_max)
    (-(w * log_q.gather(1, candidates)).mean(1) * batch.token_weights).sum().backward()


def measured(work: Callable[[Inputs], None], inputs: Inputs) -> tuple[float, float]:
    """Seconds, and peak memory above what is held now, in GiB."""
    inputs.hidden.grad = inputs.head.weight.grad = None
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts at what is resident now
    before = resident("VmRSS")
    start = time.perf_counter()
    work(inputs)
    return time.perf_counter() - start, (resident("VmHWM") - before) / 2**20


def resident(name: str) -> int:
    """In KiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def rows(tokens: int, dtype: str, repetitions: int = 3) -> list[list[str]]:
    """A line each for the products and the ways to get the gradient: seconds, ratio to the products, memory."""
    torch.set_num_threads(2)
    inputs = Inputs(tokens, DTYPES[dtype])
    ways: dict[str, Callable[[Inputs], None]] = {
        "four products": products,
        "one pass": ours,
        "two passes": lambda inputs: ours(inputs, one_pass=False),
        "plain": plain,
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, work in ways.items():
            found[name].append(measured(work, inputs))
    base = min(seconds for seconds, _ in found["four products"])
    lines = []
    for name, values in found.items():
        seconds, memory = min(s for s, _ in values), max(m for _, m in values)
        lines.append(
            [f"InTRO, T {tokens:,}, {dtype}", name, f"{seconds:.2f}", f"{seconds / base:.2f}", f"{memory:.2f}"]
        )
    return lines


def error_rows() -> list[list[str]]:
    """How far bf16 log-probabilities lie from float32 arithmetic on the same numbers, without and with exact logits."""
    lines = []
    for deviation in (2, 8):
        generator = torch.manual_seed(0)
        hidden = torch.randn(64, WIDTH, generator=generator).bfloat16()
        head = ScoringHead(WIDTH, VOCABULARY, bias=False, dtype=torch.bfloat16).requires_grad_(False)
        head.weight.normal_(std=deviation * WIDTH**-0.5, generator=generator)
        logits = hidden.float() @ head.weight.float().T
        targets = torch.multinomial(logits.softmax(1), 1, generator=generator)
        exact = logits.log_softmax(1).gather(1, targets)[:, 0]
        cast = head(hidden).float().log_softmax(1).gather(1, targets)[:, 0]
        scored = Scores(*head(hidden, ScoreSpec(targets[:, 0], measured=False))).target_logprobs
        for name, found in (("product cast to float32", cast), ("scorer", scored)):
            gap = (found - exact).abs()
            lines.append([f"bf16, logit deviation {deviation}", name, f"{gap.mean():.1e}", f"{gap.max():.1e}"])
    return lines
