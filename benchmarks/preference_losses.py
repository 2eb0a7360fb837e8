"""Losses of train_rm, train_dpo and train_kto against those of TRL 1.16 on the same log-probabilities and rewards.

TRL's own `_compute_loss` and `compute_loss` run, around models that return given numbers. Compared are the loss and its
gradient with respect to these numbers. Needs trl==1.16.0 beside this project's packages.
"""

from collections import defaultdict
from types import SimpleNamespace

import torch
from torch import Tensor
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer

from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import collate
from openrlhf.methods.dpo import DpoObjective
from openrlhf.methods.kto import KtoObjective
from openrlhf.methods.rm import RewardObjective
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import AsideRow
from openrlhf.utils.tally import Tally

PAIRS = 16
LONGEST = 40


class Rows:
    """Prompts and responses of random lengths, and a log-probability for every token of every response."""

    def __init__(self, count: int, seed: int, response: int | None = None) -> None:
        generator = torch.manual_seed(seed)
        self.prompts = torch.randint(1, LONGEST, (count,), generator=generator).tolist()
        self.responses = torch.randint(1, LONGEST, (count,), generator=generator).tolist()
        if response is not None:
            self.responses = [response] * count
        self.total = sum(self.responses)
        self.logprobs = -torch.rand(self.total, generator=generator) * 5
        self.reference = self.logprobs + torch.randn(self.total, generator=generator) * 0.5
        self.width = 2 * LONGEST

    def example(self, i: int, **changes: object) -> Example:
        end = self.prompts[i] + self.responses[i]
        # another prompt for every row, so that KTO mismatches each with the next
        return Example(ids=(i + 1,) * end, scored=tuple(range(self.prompts[i], end)), weight=1.0, **changes)

    def mask(self) -> Tensor:
        mask = torch.zeros(len(self.prompts), self.width, dtype=torch.long)
        for i, (prompt, response) in enumerate(zip(self.prompts, self.responses, strict=True)):
            mask[i, prompt : prompt + response] = 1
        return mask

    def padded(self, flat: Tensor) -> Tensor:
        """[rows, width − 1], as TRL's models return them: shifted by one, zero outside the response."""
        shifted = self.mask()[:, 1:].bool()
        return torch.zeros(shifted.shape, dtype=flat.dtype).masked_scatter(shifted, flat)

    def sums(self, flat: Tensor) -> Tensor:
        return torch.stack([part.sum() for part in flat.split(self.responses)])


def fake_trainer(**settings: object) -> SimpleNamespace:
    def same(value: Tensor) -> Tensor:
        return value

    accelerator = SimpleNamespace(device=torch.device("cpu"), gather=same, gather_for_metrics=same)
    return SimpleNamespace(
        accelerator=accelerator,
        model=SimpleNamespace(training=True),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
        aux_loss_enabled=False,
        precompute_ref_logps=True,
        **settings,
    )


def fake_model(logprobs: Tensor):
    zeros = torch.zeros_like(logprobs).detach()
    outputs = SimpleNamespace(log_probs=logprobs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())
    return lambda **_: outputs


def scores(logprobs: Tensor) -> Scores:
    return Scores(logprobs, *[torch.empty(0)] * 9)


def interleaved(chosen: Tensor, rejected: Tensor, rows: Rows, others: Rows) -> Tensor:
    """Flat numbers of both sides in our order: pair by pair."""
    parts = zip(chosen.split(rows.responses), rejected.split(others.responses), strict=True)
    return torch.cat([part for pair in parts for part in pair])


def compare(name: str, ours: Tensor, theirs: Tensor, leaves: list[Tensor], scale: float = 1.0) -> None:
    """`scale`: by which the other loss is to be multiplied for another parametrisation of the same formula."""
    mine = torch.autograd.grad(ours, leaves, retain_graph=True)
    other = torch.autograd.grad(theirs * scale, leaves, retain_graph=True)
    gap = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(mine, other, strict=True))
    loss = float(theirs.detach()) * scale
    print(f"| {name} | {float(ours.detach()):.6f} | {loss:.6f} | {abs(float(ours.detach()) - loss):.1e} | {gap:.1e} |")


def dpo(name: str, objective: DpoObjective, *, loss_type: str, beta: float, length: int | None = None) -> None:
    chosen, rejected = Rows(PAIRS, 1, length), Rows(PAIRS, 2, length)
    leaves = [chosen.logprobs.requires_grad_(), rejected.logprobs.requires_grad_()]
    rows = [side.example(i) for i in range(PAIRS) for side in (chosen, rejected)]
    batch = collate(objective.weighted(rows), torch.device("cpu"))
    batch.columns["reference"] = interleaved(chosen.reference, rejected.reference, chosen, rejected)
    ours = objective.loss(scores(interleaved(*leaves, chosen, rejected)), batch, Tally())

    def theirs(which: list[int]) -> Tensor:
        pick = torch.tensor(which)
        padded = torch.cat([side.padded(side.logprobs)[pick] for side in (chosen, rejected)])
        mask = torch.cat([side.mask()[pick] for side in (chosen, rejected)])
        trainer = fake_trainer(
            ld_alpha=None,
            f_divergence_type="reverse_kl",
            loss_types=loss_type.split("+"),
            loss_weights=[1.0, objective.nll_coef][: len(loss_type.split("+"))],
            beta=beta,
            label_smoothing=objective.label_smoothing,
            use_weighting=False,
        )
        inputs = {
            "input_ids": torch.ones_like(mask),
            "attention_mask": torch.ones_like(mask),
            "completion_mask": mask,
            "ref_chosen_logps": chosen.sums(chosen.reference)[pick],
            "ref_rejected_logps": rejected.sums(rejected.reference)[pick],
        }
        return DPOTrainer._compute_loss(trainer, fake_model(padded), inputs, False)

    # One pair at a time: "aot" sorts a batch, and of a single pair it is conservative DPO.
    each = torch.stack([theirs([i]) for i in range(PAIRS)]).mean()
    compare(name, ours, each, leaves, scale=1.0 if length is None else float(length**2))


def kto() -> None:
    rows, mismatched = Rows(2 * PAIRS, 3), Rows(2 * PAIRS, 4)
    mismatched.reference = mismatched.logprobs - 0.05  # a KL above 0
    labels = [i % 3 > 0 for i in range(2 * PAIRS)]
    objective = KtoObjective(beta=0.1, desirable_weight=1.5, undesirable_weight=0.5, max_len=4 * LONGEST)
    weighted = objective.weighted([rows.example(i, label=float(label)) for i, label in enumerate(labels)])

    trained, aside = objective.set_aside(weighted)
    # The mismatched rows get their numbers as if they were of the right length.
    policy, reference = (flat.split(mismatched.responses) for flat in (mismatched.logprobs, mismatched.reference))
    rows_aside = [AsideRow(*row) for row in zip(aside, policy, reference, strict=True)]
    figures = {name: float(value) for name, value in objective.step_figures(rows_aside).items()}
    batch = collate(trained, torch.device("cpu"), figures=figures)
    batch.columns["reference"] = rows.reference
    leaves = [rows.logprobs.requires_grad_()]
    ours = objective.loss(scores(rows.logprobs), batch, Tally())

    trainer = fake_trainer(calculate_KL=True, loss_type="kto", beta=0.1, desirable_weight=1.5, undesirable_weight=0.5)
    trainer._compute_kl_logps = lambda *_: mismatched.sums(mismatched.logprobs)
    inputs = {
        "input_ids": torch.ones_like(rows.mask()),
        "attention_mask": torch.ones_like(rows.mask()),
        "completion_mask": rows.mask(),
        "label": torch.tensor(labels),
        "ref_logps": rows.sums(rows.reference),
        "ref_KL_logps": mismatched.sums(mismatched.reference),
    }
    theirs = KTOTrainer._compute_loss(trainer, fake_model(rows.padded(rows.logprobs)), inputs, False)
    compare(f"KTO, β 0.1, weights 1.5 and 0.5, KL {objective.kl:.3f}", ours, theirs, leaves)
    print(f"  (KL: ours {objective.kl:.7f}, TRL {trainer._metrics['train']['kl'][0]:.7f})")


def reward(name: str, objective: RewardObjective) -> None:
    generator = torch.manual_seed(6)
    rewards = (torch.randn(2, PAIRS, generator=generator) * 3).requires_grad_()
    margins = torch.rand(PAIRS, generator=generator)
    rows = [
        Example(ids=(1, 2, 3), scored=(2,), weight=1.0, label=float(margins[i])) for i in range(PAIRS) for _ in range(2)
    ]
    ours = objective.loss(rewards.T.flatten(), collate(objective.weighted(rows), torch.device("cpu")), Tally())
    trainer = fake_trainer(args=SimpleNamespace(center_rewards_coefficient=None))
    inputs = {"attention_mask": torch.ones(2 * PAIRS, 3), **({"margin": margins} if objective.margin_loss else {})}
    outputs = SimpleNamespace(logits=rewards.flatten()[:, None])
    theirs = RewardTrainer.compute_loss(trainer, lambda **_: outputs, inputs)
    compare(name, ours, theirs, [rewards])


def main() -> None:
    print("| loss | ours | TRL | difference | largest gradient difference, relative |\n|---|---|---|---|---|")
    reward("reward, sigmoid", RewardObjective())
    reward("reward, sigmoid with margins", RewardObjective(margin_loss=True))
    reward("reward, logexp", RewardObjective("logexp"))
    dpo("DPO, β 0.1", DpoObjective(beta=0.1), loss_type="sigmoid", beta=0.1)
    dpo("conservative DPO, β 0.1, ε 0.2", DpoObjective(beta=0.1, label_smoothing=0.2), loss_type="aot", beta=0.1)
    dpo("DPO + 0.3 NLL", DpoObjective(beta=0.1, nll_coef=0.3), loss_type="sigmoid+sft", beta=0.1)
    # (h − 1/(2β))² = n² (h/n − 1/(2βn))²: TRL's form at β·n, where all responses have n tokens
    dpo("IPO, β 0.1, responses of 8 tokens", DpoObjective(beta=0.1, ipo=True), loss_type="ipo", beta=0.8, length=8)
    kto()


if __name__ == "__main__":
    main()
