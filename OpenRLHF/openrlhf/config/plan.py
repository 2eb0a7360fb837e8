"""What a run will do, worked out and printed before any model is loaded; refuses what cannot work."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from openrlhf.config.memory import PHASES, ModelShape, engine_holdings, held, ledger
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.schedule import learning_rate, warmup_steps
from openrlhf.config.training import OptimizerConfig
from openrlhf.errors import UserError


@dataclass(frozen=True)
class Plan:
    """Batch arithmetic of a run.

    steps: rollout batches in all. optimizer_steps: in all, the horizon of the learning rates. frozen_steps: those of
    them in which the policy does not move yet (--freezing_actor_steps).
    """

    config: RLConfig
    prompts: int
    steps: int
    optimizer_steps: int
    frozen_steps: int

    @property
    def policy_steps(self) -> int:
        """Optimiser steps in which the policy moves."""
        return self.optimizer_steps - self.frozen_steps

    @property
    def warmup(self) -> int:
        return warmup_steps(self.policy_steps, self.config.optimizer.lr_warmup_ratio)

    def learning_rate(self, optimizer_step: int) -> float:
        """Of the policy."""
        step = max(0, optimizer_step - self.frozen_steps)
        return self._rate(step, self.policy_steps, self.config.policy.actor_learning_rate)

    def critic_learning_rate(self, optimizer_step: int) -> float:
        return self._rate(optimizer_step, self.optimizer_steps, self.config.critic.critic_learning_rate)

    def _rate(self, step: int, total_steps: int, peak: float) -> float:
        return learning_rate(
            step,
            total_steps=total_steps,
            warmup=warmup_steps(total_steps, self.config.optimizer.lr_warmup_ratio),
            peak=peak,
            min_ratio=self.config.optimizer.lr_min_ratio,
        )


def make_plan(config: RLConfig, prompts: int) -> Plan:
    """prompts: how many there are to train on. config: after the rules."""
    rollout, optimizer = config.rollout, config.optimizer
    batches = [rollout.rollout_batch_size] * (prompts // rollout.rollout_batch_size)
    if prompts % rollout.rollout_batch_size:
        batches.append(prompts % rollout.rollout_batch_size)
    updates = [
        math.ceil(batch * rollout.n_samples_per_prompt / optimizer.train_batch_size) * optimizer.max_epochs
        for batch in batches
    ] * rollout.num_episodes
    frozen = max(0, config.critic.freezing_actor_steps) if config.has_critic else 0
    return Plan(
        config=config,
        prompts=prompts,
        steps=len(updates),
        optimizer_steps=sum(updates),
        frozen_steps=sum(updates[:frozen]),
    )


def describe(plan: Plan, shapes: Mapping[str, ModelShape], context: int | None, gpu_gib: float | None) -> str:
    """The plan as text.

    shapes: of the models by role, as `ledger` wants them; none where the policy's configuration cannot be had.
    context: tokens that the model can attend to.
    gpu_gib: memory of one GPU, None on a machine without any (the estimate is then printed, not judged).

    Raises:
        UserError: the flags ask for what cannot work, with the flag to change.
    """
    lines = ["Plan", *_batches(plan), *_placement(plan.config)]
    if context is not None:
        check_context(plan.config, context)
    if "actor" not in shapes:
        lines.append("  memory      unknown: the model's configuration is not at hand")
    else:
        lines += _memory(plan.config, shapes, gpu_gib)
    return "\n".join(lines)


def _micro(optimizer: OptimizerConfig, per_rank: int) -> str:
    if optimizer.max_tokens_per_micro_batch:
        return f"up to {optimizer.max_tokens_per_micro_batch:,} tokens a micro-batch"
    size = optimizer.micro_train_batch_size
    return f"{size} a micro-batch: up to {math.ceil(per_rank / size)} accumulation steps"


def _batches(plan: Plan) -> list[str]:
    config = plan.config
    rollout, optimizer, peak = config.rollout, config.optimizer, config.policy.actor_learning_rate
    sampled = min(rollout.rollout_batch_size, plan.prompts) * rollout.n_samples_per_prompt
    per_rank = math.ceil(optimizer.train_batch_size / (config.placement.actor_ranks // config.model.ring_attn_size))
    return [
        f"  data        {plan.prompts} prompts × {rollout.num_episodes} episode(s), {rollout.rollout_batch_size} a "
        f"step: {plan.steps} steps",
        f"  rollouts    {rollout.n_samples_per_prompt} rationales a prompt at temperature {rollout.temperature:g}: "
        f"{sampled} a step, up to {rollout.generate_max_len} tokens each",
        f"  updates     every {optimizer.train_batch_size} sampled rationales: {plan.optimizer_steps} steps in all",
        f"  a rank      up to {per_rank} kept rationales an update, {_micro(optimizer, per_rank)}",
        f"  rate        up to {peak:g} in {plan.warmup} warm-up steps, then cosine down to "
        f"{peak * optimizer.lr_min_ratio:g} at step {plan.optimizer_steps}",
        f"  objective   {_objective(config)}",
    ]


def _objective(config: RLConfig) -> str:
    text = config.method.describe(config)
    if not config.needs_reference:
        return text
    kl = config.kl
    target = f" towards {kl.kl_target:g}" if kl.kl_target else ""
    return f"{text}, KL {kl.init_kl_coef:g}{target} in the {'loss' if kl.use_kl_loss else 'reward'}"


def _placement(config: RLConfig) -> list[str]:
    model, engines, size = config.model, config.engines, config.engine.vllm_tensor_parallel_size
    world = config.placement.actor_ranks
    precision = "bf16" if model.bf16 else "float32"
    actor = f"{world} actor rank(s), ZeRO-{config.deepspeed.zero_stage}, {precision}, {model.attn_implementation}"
    actor += ", packed rows" if model.packing_samples else ", padded rows"
    actor += f" split over {model.ring_attn_size} ranks each" if model.ring_attn_size > 1 else ""
    actor += ", gradient checkpointing" if model.gradient_checkpointing else ""
    engine = f"{engines} {config.engine.rollout_engine} engine(s) × {size} device(s)"
    weights = f", weights by {config.engine.vllm_sync_backend} (gloo on CPUs and into hf engines)"
    if config.rollout.replay:
        engine, weights = f"no engine: rollouts of {config.rollout.replay}", ""
    others = _other_roles(config)
    if config.placement.colocate_all_models:
        lines = [f"  devices     {world}: {actor}; on the same ones {engine}"]
        return lines + [f"              and {name} ({ranks} ranks)" for name, ranks, _ in others]
    total = world + engines * size + sum(ranks for _, ranks, beside in others if beside is None)
    lines = [
        f"  devices     {total}: {actor}",
        f"              and {engine}{weights}",
    ]
    for name, ranks, beside in others:
        lines.append(f"              and {name} ({ranks} ranks{', beside the ' + beside if beside else ''})")
    return lines


def _other_roles(config: RLConfig) -> list[tuple[str, int, str | None]]:
    """(role, ranks, the role whose devices it shares) of all but policy and engines."""
    placement = config.placement
    roles: list[tuple[str, int, str | None]] = []
    if config.reference_is_a_role:
        roles.append(("reference model", placement.reference_ranks, "policy" if placement.colocate_actor_ref else None))
    if config.has_critic:
        roles.append(("critic", placement.critic_ranks, None))
    for path in config.reward.models:
        beside = "critic" if placement.colocate_critic_reward and config.has_critic else None
        roles.append((f"reward model {path}", placement.reward_ranks, beside))
    return roles


def check_context(config: RLConfig, context: int) -> None:
    """context: tokens that the model can read. UserError: prompts and responses may be longer."""
    prompt, response = config.rollout.prompt_max_len, config.rollout.generate_max_len
    if prompt + response > context:
        raise UserError(
            f"--prompt_max_len {prompt} + --generate_max_len {response} = {prompt + response} tokens are more than the "
            f"model's {context}: lower one of them"
        )


# What a user reads of a phase of the ledger, and the flags that make room in it.
_PHASES = {
    "start": ("while engines start", "lower --vllm_gpu_memory_utilization"),
    "load": ("while models load", "raise --zero_stage, or add --vllm_enable_sleep or --adam_offload"),
    "generate": (
        "while engines generate",
        "add --deepspeed_enable_sleep, --adam_offload or --ref_reward_offload, or lower --vllm_gpu_memory_utilization",
    ),
    "score": (
        "while rollouts are scored",
        "raise --zero_stage or --actor_num_gpus_per_node, lower --micro_rollout_batch_size, or add --vllm_enable_sleep",
    ),
    "update": (
        "in an update",
        "raise --zero_stage or --actor_num_gpus_per_node, add --gradient_checkpointing, --adam_offload or (with "
        "--colocate_all_models) --vllm_enable_sleep, or lower --micro_train_batch_size or --generate_max_len",
    ),
    "step": ("in an optimiser step", "raise --zero_stage or --actor_num_gpus_per_node, or add --adam_offload"),
    "sync": ("while weights are sent", "add --deepspeed_enable_sleep or --adam_offload"),
}


def _memory(config: RLConfig, shapes: Mapping[str, ModelShape], gpu_gib: float | None) -> list[str]:
    holdings, shape = ledger(config, shapes, gpu_gib), shapes["actor"]
    own = [holding for holding in holdings if holding.role == "actor"]
    most = max(held(own, phase)["actor"] for phase in PHASES[1:])
    lines = [
        f"  model       {shape.parameters / 1e6:.1f} M parameters, {shape.layers} layers, width {shape.width}, "
        f"vocabulary {shape.vocabulary}",
        f"  memory      actor rank, at most about {most:.1f} GiB at a time: "
        + ", ".join(f"{holding.name} {holding.gib:.1f}" for holding in own if holding.gib >= 0.05),
    ]
    engine = {holding.name: holding.gib for holding in engine_holdings(config, shape, gpu_gib)}
    if gpu_gib is None:
        if config.engines:
            lines.append(f"              engine: weights {engine['weights']:.1f} GiB, and cache")
        return lines
    share = config.engine.vllm_gpu_memory_utilization
    if config.engines:
        lines.append(
            f"              engine: {share:.0%} of {gpu_gib:.0f} GiB: weights {engine['weights']:.1f}, cache about "
            f"{engine['cache']:.1f} GiB"
        )
    totals = {phase: held(holdings, phase) for phase in PHASES}
    lines.append(
        f"              a GPU of the policy, of {gpu_gib:.0f} GiB: "
        + ", ".join(f"{phase} {sum(roles.values()):.1f}" for phase, roles in totals.items() if roles)
    )
    phase, roles = max(totals.items(), key=lambda found: sum(found[1].values()))
    if sum(roles.values()) > gpu_gib + 1e-6:
        when, advice = _PHASES[phase]
        raise UserError(
            "\n".join(lines) + f"\n{when}, a GPU of the policy needs about {sum(roles.values()):.0f} GiB and has "
            f"{gpu_gib:.0f} ({', '.join(f'{role} {gib:.1f}' for role, gib in roles.items())}): {advice}"
        )
    if engine["weights"] > gpu_gib * share:
        raise UserError(
            f"an engine needs {engine['weights']:.0f} GiB for weights, it may take {gpu_gib * share:.0f}: raise "
            "--vllm_tensor_parallel_size or --vllm_gpu_memory_utilization"
        )
    return lines


def offline_plan(config: OfflineConfig, samples: int, held_out: int) -> str:
    """The plan of a run on fixed data, as text."""
    model, optimizer = config.model, config.optimizer
    steps = math.ceil(samples / optimizer.train_batch_size) * optimizer.max_epochs
    warmup = warmup_steps(steps, optimizer.lr_warmup_ratio)
    split = model.ring_attn_size
    return "\n".join(
        [
            "Plan",
            f"  data        {samples} samples × {optimizer.max_epochs} epoch(s), {held_out} held out",
            f"  updates     {optimizer.train_batch_size} samples each, {optimizer.micro_train_batch_size} a "
            f"micro-batch: {steps} steps",
            f"  rate        up to {optimizer.learning_rate:g} in {warmup} warm-up steps, then {optimizer.lr_scheduler}",
            f"  objective   {config.method.describe(config)}",
            f"  model       {model.pretrain}, ZeRO-{config.deepspeed.zero_stage}, "
            f"{'bf16' if model.bf16 else 'float32'}" + (f", each row split over {split} ranks" if split > 1 else ""),
        ]
    )
