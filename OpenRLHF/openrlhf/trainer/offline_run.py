"""One run on fixed data, whatever the method: data → plan → learner → loop."""

from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from openrlhf.config.memory import shape_of
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.plan import offline_plan
from openrlhf.datasets.blending import load_blend
from openrlhf.experience.example import Example
from openrlhf.methods.base import OfflineMethod
from openrlhf.models.loader import load_config, load_tokenizer
from openrlhf.models.moe import router_balance
from openrlhf.models.parameters import Network
from openrlhf.trainer.deepspeed_setup import init_process_group
from openrlhf.trainer.frozen import FrozenActor
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.networks import trainable_actor, trainable_scalar
from openrlhf.trainer.offline_trainer import OfflineTrainer
from openrlhf.trainer.posterior import InitialPosterior
from openrlhf.trainer.resuming import Start
from openrlhf.trainer.run_folders import check_space
from openrlhf.trainer.state import OfflineState
from openrlhf.utils.console import say


def train(
    config: OfflineConfig,
    notes: list[str],
    start: Start[OfflineState],
    on_start: Callable[[str], None] = lambda text: None,
) -> None:
    """Reads and checks the data before a model is loaded. A source without the eval split has nothing held out.

    config: after the rules. start: where to begin. on_start: called on the first rank with the plan when everything
    was checked.
    """
    method, data = method_of(config), config.data
    tokenizer = load_tokenizer(str(config.model.pretrain), use_fast=not config.model.disable_fast_tokenizer)
    method.prepare_tokenizer(tokenizer)
    model = load_config(str(config.model.pretrain))
    router_balance(model, config.model)  # refuses what could not be balanced
    check_space(config, shape_of(model).parameters)
    method.check(config, tokenizer)

    def samples(split: str, required: bool) -> list[tuple[Example, ...]]:
        records = load_blend(
            str(data.dataset),
            data.dataset_probs,
            split=split,
            seed=config.optimizer.seed,
            max_samples=data.max_samples,
            stop=method.blend_stop,
            required=required,
        )
        if not records:
            return []
        made, left_out = method.samples(records, tokenizer, config)
        notes.extend(f"{split}: {note}" for note in left_out)
        return made

    train_samples = samples(data.train_split, required=True)
    held_out = samples(data.eval_split, required=False) if data.eval_split != data.train_split else []
    plan = offline_plan(config, len(train_samples), len(held_out))
    if config.plan.plan_only:
        say(_text(notes, plan))
        return
    init_process_group()
    if dist.get_rank() == 0:
        text = _text(notes, plan)
        say(text)
        on_start(text)
    OfflineTrainer(config, build_learner(config, tokenizer), tokenizer, train_samples, held_out, start).train()
    dist.destroy_process_group()


def build_learner(config: OfflineConfig, tokenizer: Any) -> Learner:
    """The network that the method trains, its loss, and the frozen models beside it."""
    method, pad = method_of(config), tokenizer.pad_token_id
    path = str(config.model.pretrain)
    network: Network
    if method.scalar_head is None:
        network = trainable_actor(path, config, pad)
    else:
        network = trainable_scalar(path, config, pad, head_prefix=method.scalar_head, at_predictors=False)
    learner = Learner(config, network, method.objective(config, tokenizer), config.optimizer.learning_rate)
    reference, posterior = method.reference_model(config), method.posterior_model(config)
    if reference is not None:
        learner.reference = FrozenActor(reference.path, config, pad, offload=reference.offload)
    if posterior is not None:
        learner.posterior = InitialPosterior(FrozenActor(posterior.path, config, pad, offload=posterior.offload))
    return learner


def method_of(config: OfflineConfig) -> OfflineMethod:
    """The configuration's method, as what it does."""
    assert isinstance(config.method, OfflineMethod)
    return config.method


def _text(notes: list[str], plan: str) -> str:
    return "\n".join([*(f"note: {note}" for note in notes), plan])
