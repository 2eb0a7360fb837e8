"""SFT, distillation and process-reward losses against transformers' and TRL's, on the same models and tokens.

Run by hand in an environment that has TRL too; see README.md for the command and the figures.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers.loss.loss_utils import ForCausalLMLoss, ForTokenClassification
from trl.experimental.gkd import GKDTrainer

sys.path.insert(0, str(Path(__file__).parents[1] / "OpenRLHF" / "tests"))
from openrlhf.experience.example import Example
from openrlhf.experience.micro_batch import collate
from openrlhf.methods.kd import DistillObjective
from openrlhf.methods.prm import ProcessObjective
from openrlhf.models.actor import Actor
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import Objective
from openrlhf.objectives.likelihood import LikelihoodObjective
from openrlhf.utils.tally import Tally
from toy_models import toy_config, toy_model

WEIGHT = 0.4
REWARD_TOKENS = (43, 45)
IGNORED = -100


def rows(count: int = 16) -> list[Example]:
    """Random rows; "label" is 1 for the first reward token and 0 for the second."""
    generator = torch.manual_seed(0)
    made = []
    for _ in range(count):
        prompt, response = torch.randint(1, 40, (2,), generator=generator).tolist()
        ids = torch.randint(0, 256, (prompt + response,), generator=generator).tolist()
        labels = torch.randint(0, 2, (response,), generator=generator).tolist()
        made.append(Example(tuple(ids), tuple(range(prompt, prompt + response)), 1.0, columns={"label": labels}))
    return made


def ours(objective: Objective, packed: bool) -> tuple[float, list[Tensor]]:
    model, teacher = toy_model(), Actor(toy_model(1, hidden_size=96), packed=packed)
    actor = Actor(model, packed=packed, pad_token_id=257)
    batch = collate(objective.weighted(rows()), torch.device("cpu"), with_posterior=objective.needs_posterior)
    posterior: tuple = ()
    if objective.needs_posterior:
        with torch.no_grad():
            posterior = (teacher(batch.posterior_rows), teacher.head)
    loss = objective.loss(Scores(*actor(batch.rows, objective.spec(batch), *posterior)), batch, Tally())
    return finished(model, loss)


def finished(model: torch.nn.Module, loss: Tensor) -> tuple[float, list[Tensor]]:
    loss.backward()
    return float(loss.detach()), [p.grad for p in model.parameters()]


def padded() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ids, mask, labels of SFT in transformers' form, and classes at the tokens before the scored ones."""
    made = rows()
    width = max(len(e.ids) for e in made)
    ids = torch.full((len(made), width), 257)
    labels, classes = (torch.full((len(made), width), IGNORED) for _ in range(2))
    for number, example in enumerate(made):
        ids[number, : len(example.ids)] = torch.tensor(example.ids)
        scored = torch.tensor(example.scored)
        labels[number, scored] = ids[number, scored]
        classes[number, scored - 1] = 1 - torch.tensor(example.columns["label"])
    return ids, (ids != 257).long(), labels, classes


def theirs(name: str) -> tuple[float, list[Tensor]]:
    model, teacher = toy_model(), toy_model(1, hidden_size=96)
    ids, mask, labels, classes = padded()
    logits = model(ids, attention_mask=mask).logits
    count = int((labels != IGNORED).sum())
    if name == "process":
        chosen = logits[..., REWARD_TOKENS]
        return finished(model, ForTokenClassification(chosen, classes, toy_config(num_labels=len(REWARD_TOKENS))))
    likelihood = ForCausalLMLoss(logits, labels, vocab_size=258, num_items_in_batch=torch.tensor(count))
    if name == "sft":
        return finished(model, likelihood)
    with torch.no_grad():
        other = teacher(ids, attention_mask=mask).logits[:, :-1]
    # TRL gives KL(teacher ‖ student); the cross-entropy is that plus the teacher's entropy.
    divergence = GKDTrainer.generalized_jsd_loss(
        logits[:, :-1], other, labels[:, 1:], beta=0, num_items_in_batch=torch.tensor(count)
    )
    entropy = torch.distributions.Categorical(logits=other[labels[:, 1:] != IGNORED]).entropy().mean()
    return finished(model, (1 - WEIGHT) * likelihood + WEIGHT * (divergence + entropy))


COMPARED: dict[str, Callable[[], Objective]] = {
    "sft": LikelihoodObjective,
    "distillation": lambda: DistillObjective(WEIGHT),
    "process": lambda: ProcessObjective(REWARD_TOKENS),
}


def main() -> None:
    for name, objective in COMPARED.items():
        loss, gradients = theirs(name)
        largest = max(float(g.abs().max()) for g in gradients)
        for packed in (True, False):
            own, own_gradients = ours(objective(), packed)
            gap = max(float((a - b).abs().max()) for a, b in zip(own_gradients, gradients, strict=True))
            print(
                f"{name:<13} {'packed' if packed else 'padded'}  loss {own:.7f} theirs {loss:.7f}  "
                f"gradient off by {gap:.1e} of {largest:.3f}"
            )


if __name__ == "__main__":
    main()
