"""One rank's share of an optimiser step: forward, loss, backward and update, for any objective."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import get_total_norm

from openrlhf.models.actor import Actor
from openrlhf.models.loader import load_actor
from openrlhf.models.scorer import Scores
from openrlhf.objectives.base import Objective
from openrlhf.objectives.kl import approximate_kl
from openrlhf.trainer.batching import Example, MicroBatch, collate
from openrlhf.trainer.deepspeed_setup import build_optimizer, deepspeed_config, initialize, local_device
from openrlhf.trainer.frozen import FrozenActor
from openrlhf.trainer.posterior import EmaPosterior, InitialPosterior, OnlinePosterior, Posterior
from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class KlTerm:
    """A penalty coef · KL(policy ‖ reference), averaged over tokens as the loss itself is."""

    reference: FrozenActor
    coef: float
    estimator: str


class Learner:
    """A DeepSpeed engine around the policy and the objective that trains it. Every rank of the group has one."""

    def __init__(self, args: Any, objective: Objective, learning_rate: float, pad_token_id: int = 0) -> None:
        """args: the command's flags; the process group must exist (`init_process_group`)."""
        self.args = args
        self.objective = objective
        self.device = local_device()
        self.world_size = dist.get_world_size()
        torch.manual_seed(args.seed)  # the same new parameters (LoRA) on every rank
        config = deepspeed_config(args, trainable=True) if args.zero_stage == 3 else None
        self.actor: Actor = load_actor(
            args.pretrain, args, trainable=True, zero3_config=config, pad_token_id=pad_token_id
        )
        self.engine = initialize(self.actor, args, build_optimizer(self.actor, args, learning_rate))
        if args.torch_compile:
            self.engine.compile()
        self._frozen: FrozenActor | None = None
        self._pad_token_id = pad_token_id
        self.posterior: Posterior | None = self._build_posterior() if objective.needs_posterior else None
        self.kl_term = self._build_kl_term()

    def _frozen_actor(self) -> FrozenActor:
        if self._frozen is None:
            self._frozen = FrozenActor(self.args.pretrain, self.args, self._pad_token_id)
        return self._frozen

    def _build_posterior(self) -> Posterior:
        kind = self.args.intro_posterior
        if kind == "initial":
            return InitialPosterior(self._frozen_actor())
        if kind == "ema":
            average = FrozenActor(self.args.pretrain, self.args, self._pad_token_id)
            return EmaPosterior(average, self.actor, self.args.intro_posterior_ema)
        return OnlinePosterior(self.engine)

    def _build_kl_term(self) -> KlTerm | None:
        if not getattr(self.args, "use_kl_loss", False) or self.args.init_kl_coef <= 0:
            return None
        return KlTerm(self._frozen_actor(), self.args.init_kl_coef, self.args.kl_estimator)

    def train_step(self, micro_batches: Sequence[Sequence[Example]], learning_rate: float) -> Tally:
        """One optimiser step over this rank's micro-batches; every rank passes the same number of them."""
        tally = Tally()
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        for i, examples in enumerate(micro_batches):
            self.engine.set_gradient_accumulation_boundary(i == len(micro_batches) - 1)
            self._accumulate(examples, tally)
            if i == len(micro_batches) - 1:
                tally.maxima["grad_norm"] = self._update()
            else:
                self.engine.step()  # only counts; the boundary is not reached
        if self.posterior is not None:
            self.posterior.after_step()
        return tally

    def _update(self) -> float:
        """Clips and steps; returns the gradient norm before clipping, over all ranks."""
        norm = None
        if not self.engine.zero_optimization() and not self.args.bf16:
            # Here DeepSpeed clips the plain gradients in place and keeps no norm.
            norm = get_total_norm([p.grad for p in self.actor.parameters() if p.grad is not None])
        self.engine.step()
        return float(self.engine.get_global_grad_norm() if norm is None else norm)

    def _accumulate(self, examples: Sequence[Example], tally: Tally) -> None:
        batch = collate(
            examples,
            self.device,
            num_candidates=self.objective.num_candidates,
            with_posterior=self.objective.needs_posterior,
        )
        scores = self.scores(batch)
        loss = self.objective.loss(scores, batch, tally) + self._kl_penalty(scores, batch, tally)
        tally.add_total("loss", float(loss.detach()))
        tally.add_total("trained_tokens", batch.tokens)
        # DeepSpeed averages over ranks, while the loss is a share of a sum over the whole batch.
        self.engine.backward(loss * self.world_size, scale_wrt_gas=False)

    def _kl_penalty(self, scores: Scores, batch: MicroBatch, tally: Tally) -> Tensor | float:
        if self.kl_term is None:
            return 0.0
        reference = self.kl_term.reference.logprobs(batch.rows, self.args.score_chunk_size)
        kl = approximate_kl(scores.target_logprobs, reference, self.kl_term.estimator)
        tally.add("kl", kl.detach()[batch.token_weights > 0])
        return self.kl_term.coef * (kl * batch.token_weights).sum()

    def scores(self, batch: MicroBatch) -> Scores:
        """Scores with gradient; the posterior's pass, without gradient, comes first."""
        posterior_hidden, posterior_head = None, None
        if self.posterior is not None and batch.posterior_rows is not None:
            posterior_hidden = self.posterior.hidden(batch.posterior_rows)
            posterior_head = self.posterior.head
        return Scores(*self.engine(batch.rows, self.objective.spec(batch), posterior_hidden, posterior_head))

    @torch.no_grad()
    def evaluate_nll(self, micro_batches: Sequence[Sequence[Example]]) -> Tally:
        """Negative log-likelihood of the scored tokens ("nll"), without training."""
        tally = Tally()
        self.engine.eval()
        for examples in micro_batches:
            batch = collate(examples, self.device)
            self.objective.loss(self.scores(batch), batch, tally)
        self.engine.train()
        return tally
