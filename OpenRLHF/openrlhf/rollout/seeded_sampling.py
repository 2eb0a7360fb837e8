"""Sampling inside `generate` with a generator per row; only `hf_engine` imports this module."""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, TopKLogitsWarper, TopPLogitsWarper

from openrlhf.rollout.engine import Sampling


class SeededSampler(LogitsProcessor):
    """Chooses each row's next token itself and leaves `generate` no choice.

    With do_sample, `generate` draws all rows from one global generator, so a sample would depend on its
    neighbours. Here row i draws from its own generator, by the exponential race: argmax of p / e, e ~ Exp(1),
    is a sample of p (the Gumbel-max trick). Everything but the chosen token is set to -inf, so that greedy
    decoding takes it.

    prompt_mask: [rows, width], zero where a prompt is padded: padding repeats nothing.
    logprobs: per step, the chosen tokens' log-probabilities [rows] in float32, under the model's own distribution
        (before repetition penalty, temperature, top-k and top-p) at temperature `scale`.
    """

    def __init__(
        self,
        sampling: Sampling,
        seeds: Sequence[int],
        prompt_mask: torch.Tensor,
        device: torch.device,
        scale: float = 1.0,
    ) -> None:
        self.logprobs: list[torch.Tensor] = []
        self._temperature, self._scale = sampling.temperature, scale
        self._penalty = sampling.repetition_penalty
        self._prompt_mask = prompt_mask.bool().to(device)
        self._seen: torch.Tensor | None = None  # bool [rows, vocabulary]
        self._cuts: list[LogitsProcessor] = []
        if sampling.top_k > 0:
            self._cuts.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1.0:
            self._cuts.append(TopPLogitsWarper(sampling.top_p))
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids [rows, length], scores (logits) [rows, vocabulary]."""
        logits = scores.float()
        wanted = logits if self._penalty == 1.0 else self._penalised(input_ids, logits)
        choice = wanted.argmax(-1) if self._temperature == 0 else self._draw(input_ids, wanted)
        chosen = choice[:, None]
        own = logits if self._scale == 1.0 else logits / self._scale
        self.logprobs.append((own.gather(1, chosen) - own.logsumexp(-1, keepdim=True)).squeeze(1))
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)

    def _penalised(self, input_ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        if self._seen is None:
            self._seen = torch.zeros_like(logits, dtype=torch.bool)
            rows, columns = self._prompt_mask.nonzero(as_tuple=True)
            self._seen[rows, input_ids[rows, columns]] = True
        else:
            self._seen.scatter_(1, input_ids[:, -1:], True)
        weaker = torch.where(logits > 0, logits / self._penalty, logits * self._penalty)
        return torch.where(self._seen, weaker, logits)

    def _draw(self, input_ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        cut = logits / self._temperature
        for warper in self._cuts:
            cut = warper(input_ids, cut)
        noise = torch.empty_like(cut)
        for row, generator in enumerate(self._generators):
            noise[row].exponential_(generator=generator)
        return (cut - noise.log()).argmax(-1)
