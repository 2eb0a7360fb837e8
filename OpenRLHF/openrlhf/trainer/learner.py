"""One rank's share of an optimiser step: forward, loss, backward and update, for any network and objective."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import get_total_norm

from openrlhf.config.training import TrainConfig
from openrlhf.experience.example import Example, MicroBatches
from openrlhf.experience.micro_batch import MicroBatch, collate
from openrlhf.models.parameters import Network
from openrlhf.models.ragged import RaggedRows
from openrlhf.models.scalar import ScalarModel
from openrlhf.models.scorer import ScoringHead, TokenLoss
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import AsideRow, Objective
from openrlhf.objectives.correction import Correction
from openrlhf.trainer.deepspeed_setup import (
    build_optimizer,
    deepspeed_config,
    initialize,
    local_device,
    release_memory,
    sharding_stage,
)
from openrlhf.trainer.frozen import FrozenActor
from openrlhf.utils.tally import Tally


class Posterior(Protocol):
    """`head` is the output layer that belongs to the hidden states; None means the policy's own."""

    head: ScoringHead | None

    def hidden(self, rows: RaggedRows) -> Tensor:
        """[T, width] without gradient: states that predict the scored tokens of `rows`."""
        ...

    def scores(self, rows: RaggedRows, spec: ScoreSpec) -> Scores:
        """Without gradient: what `spec` asks of the posterior itself."""
        ...

    def after_step(self) -> None:
        """Called after every optimiser step."""
        ...

    def save(self, folder: Path, rank: int) -> None: ...

    def load(self, folder: Path, rank: int) -> None: ...


class Learner:
    """A DeepSpeed engine around a network and the objective that trains it. Every rank of the group has one.

    posterior: for objectives that need one. reference: for those that read the column "reference" where the examples
    do not bring it. correction: of losses on tokens that another policy sampled. All are set by the caller.
    """

    def __init__(self, config: TrainConfig, network: Network, objective: Objective, learning_rate: float) -> None:
        """The process group must exist (`init_process_group`)."""
        self.config = config
        self.network = network
        self.objective = objective
        self.device = local_device()
        self.world_size = dist.get_world_size()
        self.engine = initialize(
            network, deepspeed_config(config, trainable=True), build_optimizer(network, config, learning_rate)
        )
        if config.model.torch_compile:
            self.engine.compile()
        self.posterior: Posterior | None = None
        self.reference: FrozenActor | None = None
        self.correction: Correction | None = None

    def train_step(
        self,
        micro_batches: MicroBatches,
        learning_rate: float,
        auxiliary: Sequence[tuple[Objective, MicroBatches]] = (),
        figures: Mapping[str, float] = {},
    ) -> Tally:
        """One optimiser step over this rank's micro-batches; every rank passes the same number of them.

        auxiliary: further objectives, whose losses on micro-batches of their own are added. figures: numbers of the
        whole step that the losses read.
        """
        tally = Tally()
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        micro_batches, own = self._set_aside(micro_batches)
        micro_batches, ahead = self._look_ahead(micro_batches)
        figures = {**figures, **own, **ahead}
        parts = [(self.objective, micro) for micro in micro_batches]
        parts += [(objective, micro) for objective, own in auxiliary for micro in own]
        tokens = 0.0
        if self.network.balance is not None:
            tokens = self.sum_over_ranks(sum(_real_tokens(examples) for _, examples in parts))
        for i, (objective, examples) in enumerate(parts):
            last = i == len(parts) - 1
            self.engine.set_gradient_accumulation_boundary(last)
            self._accumulate(objective, examples, tally, tokens, figures)
            if last:
                tally.maxima["grad_norm"] = self._update()
            else:
                self.engine.step()  # only counts; the boundary is not reached
        if self.posterior is not None:
            self.posterior.after_step()
        return tally

    def _update(self) -> float:
        """Clips and steps; returns the gradient norm before clipping, over all ranks."""
        norm = None
        if not self.engine.zero_optimization() and not self.config.model.bf16:
            # Here DeepSpeed clips the plain gradients in place and keeps no norm.
            norm = get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        self.engine.step()
        return float(self.engine.get_global_grad_norm() if norm is None else norm)

    def _set_aside(self, micro_batches: MicroBatches) -> tuple[MicroBatches, dict[str, float]]:
        """What to train on, and the figures that the objective makes of the rows that it only wants scored."""
        parts = [self.objective.set_aside(examples) for examples in micro_batches]
        aside = [rows for _, rows in parts if rows]
        if not aside:
            return micro_batches, {}
        policy, reference = self.outputs(aside), self.reference_outputs(aside)
        scored = [
            AsideRow(*row) for rows in zip(aside, policy, reference, strict=True) for row in zip(*rows, strict=True)
        ]
        own = self.objective.step_figures(scored)
        return [rows for rows, _ in parts], {name: self.sum_over_ranks(value) for name, value in own.items()}

    @torch.no_grad()
    def _look_ahead(self, micro_batches: MicroBatches) -> tuple[MicroBatches, dict[str, float]]:
        """The same rows with what the posterior says of them, and figures of the whole batch, if the objective wants
        them before the step."""
        if not self.objective.looks_ahead or self.posterior is None:
            return micro_batches, {}
        seen, own = [], Tally()
        for examples in micro_batches:
            batch = self._collate(self.objective, examples, {}, with_posterior=True)
            assert batch.posterior_rows is not None
            spec = ScoreSpec(
                batch.posterior_rows.targets,
                temperature=self.objective.spec(batch).temperature,
                chunk_size=self.config.model.score_chunk_size,
            )
            examples = with_posterior_columns(examples, self.posterior.scores(batch.posterior_rows, spec))
            seen.append(examples)
            for name, value in self.objective.look_ahead_figures(self._collate(self.objective, examples, {})).items():
                own.add_total(name, value)
        return seen, {name: self.sum_over_ranks(value) for name, value in own.totals.items()}

    def _accumulate(
        self,
        objective: Objective,
        examples: Sequence[Example],
        tally: Tally,
        tokens: float,
        figures: Mapping[str, float],
    ) -> None:
        """tokens: of the whole step on all ranks, of which each micro-batch's balancing loss gets its share."""
        batch = self._collate(objective, examples, figures)
        loss, value, balance = self._loss(objective, batch, tally)
        if balance is not None and self.network.balance is not None:
            share = _real_tokens(examples) / max(tokens, 1)
            tally.add_total("aux_loss", float(balance.detach()) * share)
            term = balance * (share * self.network.balance.coef)
            loss, value = loss + term, value + term.detach()
        tally.add_total("loss", float(value))
        tally.add_total("trained_tokens", batch.tokens)
        # DeepSpeed averages over ranks, while the loss is a share of a sum over the whole batch.
        self.engine.backward(loss * self.world_size, scale_wrt_gas=False)

    def _collate(
        self,
        objective: Objective,
        examples: Sequence[Example],
        figures: Mapping[str, float],
        with_posterior: bool = False,
    ) -> MicroBatch:
        batch = collate(
            examples,
            self.device,
            num_candidates=objective.num_candidates,
            with_posterior=with_posterior or objective.needs_posterior,
            figures=figures,
        )
        if objective.needs_reference and "reference" not in batch.columns and self.reference is not None:
            batch.columns["reference"] = self.reference.logprobs(batch.rows, objective.spec(batch).temperature)
        return batch

    def _loss(self, objective: Objective, batch: MicroBatch, tally: Tally) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss to differentiate, its value (tokens included that other ranks of this row score), and the balancing
        loss of a mixture of experts."""
        if isinstance(self.network, ScalarModel) or not objective.sums_over_tokens:
            outputs, balance = self._forward(objective, batch)
            loss = self._corrected(objective, outputs, batch, tally)
            return loss, loss.detach(), balance

        def token_loss(scores: Scores, part: slice | Tensor) -> Tensor:
            # The tally is of the whole micro-batch, below.
            return self._corrected(objective, scores, batch.part(part), Tally())

        scores, loss, balance = self._scores(objective, batch, token_loss)
        with torch.no_grad():
            value = self._corrected(objective, scores, batch, tally)
        return loss, value, balance

    def _corrected(self, objective: Objective, outputs: Scores | Tensor, batch: MicroBatch, tally: Tally) -> Tensor:
        """The objective's loss, with the weights of tokens that another policy sampled corrected."""
        if self.correction is not None and isinstance(outputs, Scores):
            batch = self.correction.applied(outputs.target_logprobs, batch, tally)
        return objective.loss(outputs, batch, tally)

    def _outputs(self, objective: Objective, batch: MicroBatch) -> Scores | Tensor:
        return self._forward(objective, batch)[0]

    def _forward(self, objective: Objective, batch: MicroBatch) -> tuple[Scores | Tensor, Tensor | None]:
        """What the objective reads, and the balancing loss of a mixture of experts, both with gradient; the posterior's
        pass, without gradient, comes first."""
        if isinstance(self.network, ScalarModel):
            values = self.engine(batch.rows)
            return (values, None) if self.network.balance is None else values
        scores, balance = self._scores(objective, batch)
        return scores, balance

    def _scores(self, objective: Objective, batch: MicroBatch, token_loss: TokenLoss | None = None) -> tuple[Any, ...]:
        """`Scores`, the loss if `token_loss` makes one, the balancing loss or None."""
        posterior_hidden, posterior_head = None, None
        if objective.needs_posterior and self.posterior is not None and batch.posterior_rows is not None:
            posterior_hidden = self.posterior.hidden(batch.posterior_rows)
            posterior_head = self.posterior.head
        spec = replace(objective.spec(batch), chunk_size=self.config.model.score_chunk_size, hinted=batch.hinted)
        outputs = self.engine(batch.rows, spec, posterior_hidden, posterior_head, token_loss)
        fields = len(Scores._fields)
        scalars = outputs[fields:] if self.network.balance is not None else (*outputs[fields:], None)
        return Scores(*outputs[:fields]), *scalars

    @torch.no_grad()
    def evaluate(self, micro_batches: MicroBatches) -> Tally:
        """What the objective tallies, and the "loss", without training."""
        tally = Tally()
        micro_batches, figures = self._set_aside(micro_batches)
        self.engine.eval()
        for examples in micro_batches:
            batch = self._collate(self.objective, examples, figures)
            loss = self.objective.loss(self._outputs(self.objective, batch), batch, tally)
            tally.add_total("loss", float(loss))
        self.engine.train()
        return tally

    @torch.no_grad()
    def outputs(self, micro_batches: MicroBatches) -> list[list[list[float]]]:
        """For every example of every micro-batch, a number per scored token: log-probabilities of a policy (at the
        objective's temperature), values of a scalar model."""
        self.engine.eval()
        found = []
        for examples in micro_batches:
            batch = collate(examples, self.device)
            outputs = self._outputs(self.objective, batch)
            found.append(by_example(outputs if isinstance(outputs, Tensor) else outputs.target_logprobs, examples))
        self.engine.train()
        return found

    def reference_outputs(self, micro_batches: MicroBatches) -> list[list[list[float]]]:
        """As `outputs`, of the reference model, at the same temperature."""
        if self.reference is None:
            raise RuntimeError(f"{type(self.objective).__name__} needs a reference model: set learner.reference")
        batches = [collate(examples, self.device) for examples in micro_batches]
        flat = [self.reference.logprobs(batch.rows, self.objective.spec(batch).temperature) for batch in batches]
        return [by_example(*found) for found in zip(flat, micro_batches, strict=True)]

    def sleep(self) -> None:
        """Moves the optimiser's state to CPU memory: master weights and moments, 12 bytes a parameter, and gradient
        buffers. ZeRO-3 only; a rank that shards with nobody on a CPU has nothing to move."""
        if sharding_stage(self.config) != 3:
            return
        self._move_optimizer(torch.device("cpu"))
        from deepspeed.runtime.zero.offload_config import OffloadStateTypeEnum

        # For the rest of the states DeepSpeed asks for an optimiser of its own.
        self.engine.offload_states([OffloadStateTypeEnum.lp_grads, OffloadStateTypeEnum.contiguous_grad_buffer])
        release_memory()

    def wake(self) -> None:
        """Moves the optimiser's state back, before the next `train_step`."""
        if sharding_stage(self.config) == 3:
            self._move_optimizer(self.device)
            self.engine.reload_states()

    def optimizer_tensors(self) -> list[Tensor]:
        """This rank's master weights and their moments."""
        states = self.engine.optimizer.optimizer.state.items()
        tensors = [tensor for master, state in states for tensor in (master, *state.values())]
        return [tensor for tensor in tensors if isinstance(tensor, Tensor) and tensor.dim()]

    def _move_optimizer(self, device: torch.device) -> None:
        # In stages 1 and 2 DeepSpeed keeps views of the master weights, which would stay behind.
        for tensor in self.optimizer_tensors():
            tensor.data = tensor.data.to(device, copy=True)

    def sum_over_ranks(self, value: float) -> float:
        """Collective: the same sum on every rank; ranks that share their rows count once."""
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total) / self.config.model.ring_attn_size


def by_example(flat: Tensor, examples: Sequence[Example]) -> list[list[float]]:
    """Splits a number per scored token of a micro-batch."""
    return [part.tolist() for part in flat.split([len(example.scored) for example in examples])]


def with_posterior_columns(examples: Sequence[Example], scores: Scores) -> list[Example]:
    """The columns of `Objective.looks_ahead`. scores: of all the posterior's rows, in their order."""
    lengths = [len(example.scored) for example in examples for _ in example.hints]
    rows = zip(scores.target_logprobs.split(lengths), scores.entropy.split(lengths), strict=True)
    found = []
    for example in examples:
        columns = dict.fromkeys(("hinted", "contrast", "hinted_entropy"), [0.0] * len(example.scored))
        own = [next(rows) for _ in example.hints]
        if own:
            (right, entropy), wrong = own[0], [logprobs for logprobs, _ in own[1:]]
            contrast = torch.stack(wrong).logsumexp(0) - math.log(len(wrong)) if wrong else right
            columns = {"hinted": right.tolist(), "contrast": contrast.tolist(), "hinted_entropy": entropy.tolist()}
        found.append(replace(example, columns={**example.columns, **columns}))
    return found


def _real_tokens(examples: Sequence[Example]) -> int:
    return sum(len(example.ids) for example in examples if example.weight)
