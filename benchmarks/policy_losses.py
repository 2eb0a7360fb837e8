"""Losses and advantages of train_ppo_ray against TRL 1.16 and TorchRL 0.14 on the same numbers.

TRL's own `GRPOTrainer._compute_loss` runs on given log-probabilities; TorchRL's functions give advantages, returns and
the clipped value loss. Compared are values and gradients. Needs trl==1.16.0 and torchrl==0.14.1 beside this project's
packages.
"""

from dataclasses import replace
from unittest.mock import MagicMock

import torch
from torch import Tensor
from torchrl.objectives.utils import _clip_value_loss
from torchrl.objectives.value.functional import generalized_advantage_estimate, reward2go
from trl.trainer.grpo_trainer import GRPOTrainer

from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import MicroBatch, collate
from openrlhf.models.scores import Scores
from openrlhf.objectives.advantages import discounted_returns, generalised_advantages
from openrlhf.objectives.policy import PolicyObjective
from openrlhf.objectives.value import ValueObjective
from openrlhf.utils.tally import Tally

ROWS, LONGEST, EPSILON = 12, 30, 0.2


class Batch:
    """Responses of random lengths with random numbers for every token, flat [T] and padded [ROWS, LONGEST]."""

    def __init__(self, seed: int) -> None:
        generator = torch.manual_seed(seed)
        self.lengths = torch.randint(1, LONGEST + 1, (ROWS,), generator=generator).tolist()
        self.mask = torch.arange(LONGEST)[None] < torch.tensor(self.lengths)[:, None]
        draw = lambda scale: torch.randn(sum(self.lengths), generator=generator) * scale  # noqa: E731
        self.old = draw(1.0) - 3.0
        self.logprobs = self.old + draw(0.3)
        self.reference = self.old + draw(0.5)
        self.advantages = torch.randn(ROWS, generator=generator)
        self.values, self.returns, self.new_values = draw(1.0), draw(1.0), draw(1.0)

    def padded(self, flat: Tensor) -> Tensor:
        return torch.zeros(self.mask.shape, dtype=flat.dtype).masked_scatter(self.mask, flat)

    def micro_batch(self, columns: dict[str, Tensor], constant: bool = False) -> MicroBatch:
        parts = {name: flat.split(self.lengths) for name, flat in columns.items()}
        examples = [
            Example(
                ids=(1,) * (length + 1),
                scored=tuple(range(1, length + 1)),
                weight=1.0 / (ROWS * (LONGEST if constant else length)),
                columns={name: own[i].tolist() for name, own in parts.items()},
            )
            for i, length in enumerate(self.lengths)
        ]
        return collate(examples, torch.device("cpu"))


def trl_loss(batch: Batch, loss_type: str, beta: float) -> tuple[float, Tensor]:
    logprobs = batch.logprobs.clone().requires_grad_()
    trainer = MagicMock()
    trainer._get_per_token_logps_and_entropies.return_value = (batch.padded(logprobs), batch.padded(-batch.old), None)
    trainer.configure_mock(
        top_entropy_quantile=1.0, off_policy_mask_threshold=None, importance_sampling_level="token", beta=beta,
        loss_type=loss_type, epsilon_low=EPSILON, epsilon_high=EPSILON, use_vllm=False, aux_loss_enabled=False,
        current_gradient_accumulation_steps=1, max_completion_length=LONGEST, entropy_coef=0.0,
        use_adaptive_entropy=False,
    )  # fmt: skip
    trainer.args.delta, trainer.args.use_bias_correction_kl = None, False
    trainer.accelerator.gather.side_effect = lambda value: value
    ids = torch.ones((ROWS, LONGEST), dtype=torch.long)
    inputs = {
        "prompt_ids": ids[:, :1],
        "prompt_mask": ids[:, :1],
        "completion_ids": ids,
        "completion_mask": batch.mask.long(),
        "advantages": batch.advantages,
        "old_per_token_logps": batch.padded(batch.old),
        "ref_per_token_logps": batch.padded(batch.reference),
    }
    loss = GRPOTrainer._compute_loss(trainer, MagicMock(), inputs)
    loss.backward()
    return float(loss.detach()), logprobs.grad


def our_loss(batch: Batch, loss_type: str, beta: float) -> tuple[float, Tensor]:
    logprobs = batch.logprobs.clone().requires_grad_()
    per_token = batch.advantages.repeat_interleave(torch.tensor(batch.lengths))
    columns = {"advantage": per_token, "old_logprob": batch.old, "reference": batch.reference}
    objective = PolicyObjective(EPSILON, kl="k3" if beta else None)
    none = torch.zeros_like(batch.old)
    micro = batch.micro_batch(columns, constant=loss_type == "dr_grpo")
    micro = replace(micro, figures={"kl_coef": beta})
    loss = objective.loss(Scores(logprobs, *(9 * [none])), micro, Tally())
    loss.backward()
    return float(loss.detach()), logprobs.grad


def value_losses(batch: Batch) -> tuple[tuple[float, Tensor], tuple[float, Tensor]]:
    ours, theirs = (batch.new_values.clone().requires_grad_() for _ in range(2))
    micro = batch.micro_batch({"value": batch.values, "return": batch.returns})
    mine = ValueObjective(EPSILON).loss(ours, micro, Tally())
    mine.backward()
    plain = (batch.returns - theirs).square()
    clipped, _ = _clip_value_loss(batch.values, theirs, torch.tensor(EPSILON), batch.returns, plain, "l2")
    other = (clipped / 2 * micro.token_weights).sum()
    other.backward()
    return (float(mine.detach()), ours.grad), (float(other.detach()), theirs.grad)


def advantages(batch: Batch, gamma: float, lambd: float) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Ours and TorchRL's advantages and returns of the first response, with rewards = its `returns` column."""
    n = batch.lengths[0]
    rewards, values = batch.returns[:n], batch.values[:n]
    after = torch.cat([values[1:], torch.zeros(1)])
    done = torch.zeros((n, 1), dtype=torch.bool)
    done[-1] = True
    theirs = generalized_advantage_estimate(
        gamma, lambd, values[:, None], after[:, None], rewards[:, None], done, terminated=done
    )
    return generalised_advantages(rewards, values, gamma, lambd), tuple(part[:, 0] for part in theirs)


def row(name: str, ours: tuple[float, Tensor], theirs: tuple[float, Tensor]) -> str:
    difference = float((ours[1] - theirs[1]).abs().max() / theirs[1].abs().max())
    return f"| {name} | {ours[0]:.6f} | {theirs[0]:.6f} | {abs(ours[0] - theirs[0]):.1e} | {difference:.1e} |"


def main() -> None:
    batch = Batch(seed=7)
    print("| loss | ours | theirs | difference | largest gradient difference, relative |\n|---|---|---|---|---|")
    for name, loss_type, beta in (
        ("GRPO", "grpo", 0.0),
        ("GRPO with KL (k3) 0.1", "grpo", 0.1),
        ("Dr. GRPO", "dr_grpo", 0.0),
    ):
        print(row(f"{name} (TRL)", our_loss(batch, loss_type, beta), trl_loss(batch, loss_type, beta)))
    print(row("clipped value loss (TorchRL)", *value_losses(batch)))
    for gamma, lambd in ((1.0, 0.95), (0.97, 0.9)):
        ours, theirs = advantages(batch, gamma, lambd)
        gaps = [float((mine - other).abs().max()) for mine, other in zip(ours, theirs, strict=True)]
        print(f"GAE, γ {gamma}, λ {lambd}: largest difference of advantages {gaps[0]:.1e}, of returns {gaps[1]:.1e}")
    n = batch.lengths[0]
    done = torch.zeros((n, 1), dtype=torch.bool)
    done[-1] = True
    other = reward2go(batch.returns[:n, None], done, 0.97)[:, 0]
    gap = float((discounted_returns(batch.returns[:n], 0.97) - other).abs().max())
    print(f"discounted returns, γ 0.97: largest difference {gap:.1e}")


if __name__ == "__main__":
    main()
