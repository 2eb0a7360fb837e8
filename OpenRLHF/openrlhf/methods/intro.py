r"""InTRO: In-Token Rationality Optimization (arXiv 2511.09865).

The policy q_t = π(· | x, z_<t) is pulled, token by token, towards its answer-conditioned counterpart
p_t = π(· | x, h(y), z_<t). Over the kept rationales b of the global batch, with candidates a_i drawn from q_t:

    sampled   L = − Σ_b Σ_t c_b · (1/n) Σ_i w_{t,i} log q_t(a_i),   w = clip(p_t(a_i) / q_t(a_i), 0, clip), constant
    exact     L = − Σ_b Σ_t c_b · Σ_a p_t(a) log q_t(a)             (its expectation without cut and clip)

c_b = 1 / (B |z_b|) for seq-mean (the published form) and 1 / Σ_b |z_b| for token-mean. B and the sum count the whole
optimiser batch, over all ranks and accumulation steps; the caller supplies c_b, so that splitting changes nothing.

With --hint_contrast K, w = clip(p(a_i) / p_w(a_i)): p_w is the mixture of the posteriors that read up to K wrong
answers of siblings in the same words, so that what any hint does cancels. Where there is none, w stays p / q.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting, switch
from openrlhf.errors import UserError
from openrlhf.methods.base import CorrectOnly, token_mean
from openrlhf.methods.hints import ContrastedAnswer
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import GAP_METRICS, Objective, hint_gap, tally_engine_gap, tally_gap, tally_measured
from openrlhf.objectives.kl import kl_penalty

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class Intro(ContrastedAnswer, CorrectOnly):
    """The defaults are the published setting."""

    name: ClassVar[str] = "intro"
    title: ClassVar[str] = "InTRO"
    commands: ClassVar[tuple[str, ...]] = ("train_ppo_ray_intro",)
    flag_prefix: ClassVar[str] = "intro_"
    needs_groups: ClassVar[bool] = True  # as the release has it
    kl_places: ClassVar[tuple[str, ...]] = ("loss",)
    metrics: ClassVar[dict[str, str]] = {
        "w_mean": "mean of the clipped correction factor w = p / q over all candidates (sampled estimator only)",
        "w_median": "its median",
        "w_max": "the largest one",
        "w_clipped_share": "share of candidates whose w is at the clip",
        "w_ess_share": "effective sample size (Σw)² / (N Σw²): 1 where all are equal, 1/N where one outweighs the rest",
        "kl_posterior": "KL(p‖q) per token in nats, over the whole vocabulary, on every eighth token",
        "entropy": "of q per token, nats, on every eighth token",
        "loglik": "mean log-probability of the rationale's tokens",
        "loglik_hinted": "the same with the answer in the hint",
        "contrasted_share": "with `--hint_contrast`: share of the trained rationales for which there is a wrong hint",
        **GAP_METRICS,
    }

    estimator: str = setting(
        "sampled",
        "sampled: candidates drawn from the policy, as published; exact: the same expectation over the whole"
        " vocabulary, without sampling noise.",
        choices=("sampled", "exact"),
    )
    num_candidates: int = setting(
        5, "Candidates per position (n); the generated token is always one of them.", at_least=1
    )
    top_k: int = setting(20, "Candidates are drawn from the policy's most likely k tokens; 0: no cut.", at_least=0)
    clip_max: float = setting(200.0, "Upper clip of the correction factor w = p / q.", more_than=0)
    temperature: float = setting(1.0, "Temperature of policy q and posterior p in the loss.", more_than=0)
    loss_aggregation: str = setting(
        "seq-mean",
        "seq-mean: every rationale counts alike; token-mean: every token does.",
        choices=("seq-mean", "token-mean"),
    )
    no_pack_samples: bool = switch("Train on padded rows instead of packed ones.", flag="no_pack_samples")

    def describe(self, config: Any) -> str:
        return (
            f"InTRO, {self.estimator}, {self.posterior} posterior, n = {self.num_candidates}, "
            f"k = {self.top_k}, clip {self.clip_max:g}, {self.loss_aggregation}"
        ) + (f", against up to {self.contrast} wrong answers" if self.contrast else "")

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        if config.model.packing_samples and self.no_pack_samples:
            raise UserError("--packing_samples and --no_pack_samples contradict each other: remove one")
        if config.model.ring_attn_size > 1 and self.no_pack_samples:
            raise UserError(
                f"--ring_attn_size {config.model.ring_attn_size} splits packed rows: remove --no_pack_samples"
            )
        if self.contrast and self.estimator == "exact":
            raise UserError("--hint_contrast weighs candidates: take --intro_estimator sampled, or remove it")
        return replace(config, model=replace(config.model, packing_samples=not self.no_pack_samples)), notes

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if self.estimator == "exact":
            names = " ".join(self.flag_prefix + name for name in ("num_candidates", "top_k", "clip_max"))
            yield names, "the exact estimator draws no candidates"

    def trained_temperature(self, config: Any) -> float:
        return self.temperature

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        if self.loss_aggregation == "token-mean":
            return token_mean(lengths)
        return super().weights(lengths, config)

    def objective(self, config: RLConfig) -> Objective:
        return IntroObjective(self, config.kl_in_loss)


@dataclass(frozen=True)
class IntroObjective(Objective):
    """With `kl`, an estimator, a penalty for leaving the reference model is added."""

    sums_over_tokens = True
    needs_posterior = True

    settings: Intro
    kl: str | None = None

    @property
    def num_candidates(self) -> int:
        return 0 if self.settings.estimator == "exact" else self.settings.num_candidates

    @property
    def needs_reference(self) -> bool:
        return self.kl is not None

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(
            targets=batch.rows.targets,
            uniforms=batch.uniforms,
            top_k=self.settings.top_k,
            temperature=self.settings.temperature,
            cross_entropy=self.settings.estimator == "exact",
            measured=batch.measured,
        )

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        loss, w = intro_loss(outputs, batch.token_weights, self.settings)
        self._tally_tokens(outputs, w, batch, tally)
        if self.settings.temperature == 1.0:
            tally_engine_gap(outputs.target_logprobs, batch, tally)
        if self.kl is not None:
            loss = loss + kl_penalty(outputs.target_logprobs, batch, self.kl, tally)
        return loss

    def _tally_tokens(self, scores: Scores, w: Tensor, batch: MicroBatch, tally: Tally) -> None:
        real = batch.real
        if self.num_candidates:
            w = w[real]
            tally.add("w_mean", w)
            tally.add("w_squared", w.square())
            tally.add("w_clipped_share", (w >= self.settings.clip_max).float())
            tally.add_maximum("w", w)
            tally.add_samples("w", w)
        tally_measured("kl_posterior", scores.kl, batch, tally)
        tally_measured("entropy", scores.entropy, batch, tally)
        tally.add("loglik", scores.target_logprobs.detach()[real])
        tally.add("loglik_hinted", scores.posterior_target_logprobs[real])
        tally_gap(hint_gap(scores), batch, tally)

    def figures(self, tally: Tally) -> dict[str, float]:
        """Adds the effective sample size."""
        figures = tally.metrics()
        squared = figures.pop("w_squared", 0.0)
        return {**figures, "w_ess_share": figures["w_mean"] ** 2 / squared} if squared > 0 else figures


def intro_loss(scores: Scores, token_weights: Tensor, settings: Intro) -> tuple[Tensor, Tensor]:
    """The loss (a scalar) and the correction factors w [T, n] (n = 0 for the exact estimator).

    token_weights: float32 [T], c_b of the rationale that each scored token belongs to.
    """
    w = correction_factors(scores, settings.clip_max)
    per_token = scores.cross_entropy if settings.estimator == "exact" else -(w * scores.candidate_logprobs).mean(-1)
    # A weight of zero must silence a row even where its loss is infinite.
    per_token = per_token.masked_fill(token_weights <= 0, 0.0)
    return (per_token * token_weights).sum(), w


def correction_factors(scores: Scores, clip_max: float) -> Tensor:
    """w [T, n] float32, without gradient: clip(p(a)/q(a), 0, clip_max), or p(a)/p_w(a), computed in log space."""
    log_w = scores.posterior_candidate_logprobs - scores.contrast_candidate_logprobs
    return log_w.exp().clamp(max=clip_max)
