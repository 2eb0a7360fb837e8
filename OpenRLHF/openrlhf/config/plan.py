"""What a run will do, worked out and printed before any model is loaded; refuses what cannot work."""

import math
from dataclasses import dataclass
from typing import Any

from openrlhf.config.memory import RESIDENT, ModelShape, actor_memory, engine_weights
from openrlhf.config.rules import actor_world_size, needs_reference, reference_is_a_role, reward_models
from openrlhf.config.schedule import learning_rate, warmup_steps
from openrlhf.errors import UserError


@dataclass(frozen=True)
class Plan:
    """Batch arithmetic of a run.

    steps: rollout batches in all. optimizer_steps: in all, the horizon of the learning rates. frozen_steps: those of
    them in which the policy does not move yet (--freezing_actor_steps).
    """

    args: Any
    prompts: int
    steps: int
    optimizer_steps: int
    frozen_steps: int
    engines: int

    @property
    def policy_steps(self) -> int:
        """Optimiser steps in which the policy moves."""
        return self.optimizer_steps - self.frozen_steps

    @property
    def warmup(self) -> int:
        return warmup_steps(self.policy_steps, self.args.lr_warmup_ratio)

    def learning_rate(self, optimizer_step: int) -> float:
        """Of the policy."""
        step = max(0, optimizer_step - self.frozen_steps)
        return self._rate(step, self.policy_steps, self.args.actor_learning_rate)

    def critic_learning_rate(self, optimizer_step: int) -> float:
        return self._rate(optimizer_step, self.optimizer_steps, self.args.critic_learning_rate)

    def _rate(self, step: int, total_steps: int, peak: float) -> float:
        return learning_rate(
            step,
            total_steps=total_steps,
            warmup=warmup_steps(total_steps, self.args.lr_warmup_ratio),
            peak=peak,
            min_ratio=self.args.lr_min_ratio,
        )


def make_plan(args: Any, prompts: int) -> Plan:
    """prompts: how many there are to train on. args: after the rules between flags."""
    batches = [args.rollout_batch_size] * (prompts // args.rollout_batch_size)
    if prompts % args.rollout_batch_size:
        batches.append(prompts % args.rollout_batch_size)
    updates = [
        math.ceil(batch * args.n_samples_per_prompt / args.train_batch_size) * args.max_epochs for batch in batches
    ] * args.num_episodes
    return Plan(
        args=args,
        prompts=prompts,
        steps=len(updates),
        optimizer_steps=sum(updates),
        frozen_steps=sum(updates[: max(0, args.freezing_actor_steps)]) if args.critic_pretrain else 0,
        engines=args.vllm_num_engines or 1,
    )


def describe(plan: Plan, shape: ModelShape | None, context: int | None, gpu_gib: float | None) -> str:
    """The plan as text.

    shape: None where the model's configuration cannot be had. context: tokens that the model can attend to.
    gpu_gib: memory of one GPU, None on a machine without any (the estimate is then printed, not judged).

    Raises:
        UserError: the flags ask for what cannot work, with the flag to change.
    """
    args = plan.args
    lines = ["Plan", *_batches(plan), *_placement(plan)]
    if context is not None:
        _check_context(args, context)
    if shape is None:
        lines.append("  memory      unknown: the model's configuration is not at hand")
    else:
        lines += _memory(plan, shape, gpu_gib)
    return "\n".join(lines)


def _batches(plan: Plan) -> list[str]:
    args = plan.args
    world = actor_world_size(args)
    sampled = min(args.rollout_batch_size, plan.prompts) * args.n_samples_per_prompt
    per_rank = math.ceil(args.train_batch_size / (world // args.ring_attn_size))
    return [
        f"  data        {plan.prompts} prompts × {args.num_episodes} episode(s), {args.rollout_batch_size} a step: "
        f"{plan.steps} steps",
        f"  rollouts    {args.n_samples_per_prompt} rationales a prompt at temperature {args.temperature:g}: "
        f"{sampled} a step, up to {args.generate_max_len} tokens each",
        f"  updates     every {args.train_batch_size} sampled rationales: {plan.optimizer_steps} steps in all",
        f"  a rank      up to {per_rank} kept rationales an update, {args.micro_train_batch_size} a micro-batch: up to "
        f"{math.ceil(per_rank / args.micro_train_batch_size)} accumulation steps",
        f"  rate        up to {args.actor_learning_rate:g} in {plan.warmup} warm-up steps, then cosine down to "
        f"{args.actor_learning_rate * args.lr_min_ratio:g} at step {plan.optimizer_steps}",
        f"  objective   {_objective(args)}",
    ]


def _objective(args: Any) -> str:
    if args.advantage_estimator == "intro":
        text = (
            f"InTRO, {args.intro_estimator}, {args.intro_posterior} posterior, n = {args.intro_num_candidates}, "
            f"k = {args.intro_top_k}, clip {args.intro_clip_max:g}, {args.intro_loss_aggregation}"
        )
    elif args.advantage_estimator == "raft":
        text = "RAFT: the likelihood of the correct rationales"
    else:
        text = f"policy gradient, {args.advantage_estimator} advantages, clip {args.eps_clip:g}"
    if not needs_reference(args):
        return text
    target = f" towards {args.kl_target:g}" if args.kl_target else ""
    return f"{text}, KL {args.init_kl_coef:g}{target} in the {'loss' if args.use_kl_loss else 'reward'}"


def _placement(plan: Plan) -> list[str]:
    args = plan.args
    world, size = actor_world_size(args), args.vllm_tensor_parallel_size
    precision = "bf16" if args.bf16 else "float32"
    actor = f"{world} actor rank(s), ZeRO-{args.zero_stage}, {precision}, {args.attn_implementation}"
    actor += ", packed rows" if args.packing_samples else ", padded rows"
    actor += f" split over {args.ring_attn_size} ranks each" if args.ring_attn_size > 1 else ""
    actor += ", gradient checkpointing" if args.gradient_checkpointing else ""
    engine = f"{plan.engines} {args.rollout_engine} engine(s) × {size} device(s)"
    others = _other_roles(args)
    if args.colocate_all_models:
        lines = [f"  devices     {world}: {actor}; on the same ones {engine}"]
        return lines + [f"              and {name} ({ranks} ranks)" for name, ranks, _ in others]
    total = world + plan.engines * size + sum(ranks for _, ranks, beside in others if beside is None)
    lines = [
        f"  devices     {total}: {actor}",
        f"              and {engine}, weights by {args.vllm_sync_backend} (gloo where there is no GPU)",
    ]
    for name, ranks, beside in others:
        lines.append(f"              and {name} ({ranks} ranks{', beside the ' + beside if beside else ''})")
    return lines


def _other_roles(args: Any) -> list[tuple[str, int, str | None]]:
    """(role, ranks, the role whose devices it shares) of all but policy and engines."""
    roles: list[tuple[str, int, str | None]] = []
    if reference_is_a_role(args):
        beside = "policy" if args.colocate_actor_ref else None
        roles.append(("reference model", args.ref_num_nodes * args.ref_num_gpus_per_node, beside))
    if args.critic_pretrain:
        roles.append(("critic", args.critic_num_nodes * args.critic_num_gpus_per_node, None))
    for path in reward_models(args):
        beside = "critic" if args.colocate_critic_reward and args.critic_pretrain else None
        roles.append((f"reward model {path}", args.reward_num_nodes * args.reward_num_gpus_per_node, beside))
    return roles


def _check_context(args: Any, context: int) -> None:
    longest = args.prompt_max_len + args.generate_max_len
    if longest > context:
        raise UserError(
            f"--prompt_max_len {args.prompt_max_len} + --generate_max_len {args.generate_max_len} = {longest} tokens "
            f"are more than the model's {context}: lower one of them"
        )


def _memory(plan: Plan, shape: ModelShape, gpu_gib: float | None) -> list[str]:
    args = plan.args
    parts = actor_memory(args, shape, actor_world_size(args))
    total = sum(parts.values())
    weights = engine_weights(shape, args.vllm_tensor_parallel_size, args.bf16)
    share = args.vllm_gpu_memory_utilization
    lines = [
        f"  model       {shape.parameters / 1e6:.1f} M parameters, {shape.layers} layers, width {shape.width}, "
        f"vocabulary {shape.vocabulary}",
        f"  memory      actor rank, about {total:.1f} GiB: "
        + ", ".join(f"{name} {value:.1f}" for name, value in parts.items()),
    ]
    if gpu_gib is None:
        lines.append(f"              engine: weights {weights:.1f} GiB, and cache")
        return lines
    lines.append(
        f"              engine: {share:.0%} of {gpu_gib:.0f} GiB: weights {weights:.1f}, cache about "
        f"{gpu_gib * share - weights:.1f} GiB"
    )
    available = gpu_gib * (1 - share) if args.colocate_all_models and not args.vllm_enable_sleep else gpu_gib
    if total > available:
        raise UserError(
            "\n".join(lines)
            + f"\nan actor rank needs about {total:.0f} GiB, a GPU has {available:.0f} for it: raise --zero_stage or "
            "--actor_num_gpus_per_node, add --gradient_checkpointing or --adam_offload, or lower "
            "--micro_train_batch_size or --generate_max_len"
        )
    resident = sum(parts.get(name, 0.0) for name in RESIDENT)
    if args.deepspeed_enable_sleep:
        resident -= parts.get("optimiser", 0.0)
    if args.colocate_all_models and resident > gpu_gib * (1 - share):
        raise UserError(
            "\n".join(lines)
            + f"\nwhile engines generate, an actor rank keeps about {resident:.0f} GiB, and they leave "
            f"{gpu_gib * (1 - share):.0f}: add --deepspeed_enable_sleep or --adam_offload, or lower "
            "--vllm_gpu_memory_utilization"
        )
    if weights > gpu_gib * share:
        raise UserError(
            f"an engine needs {weights:.0f} GiB for weights, it may take {gpu_gib * share:.0f}: raise "
            "--vllm_tensor_parallel_size or --vllm_gpu_memory_utilization"
        )
    return lines


def offline_plan(args: Any, samples: int, held_out: int) -> str:
    """The plan of a run on fixed data, as text."""
    steps = math.ceil(samples / args.train_batch_size) * args.max_epochs
    warmup = warmup_steps(steps, args.lr_warmup_ratio)
    split = getattr(args, "ring_attn_size", 1)
    return "\n".join(
        [
            "Plan",
            f"  data        {samples} samples × {args.max_epochs} epoch(s), {held_out} held out",
            f"  updates     {args.train_batch_size} samples each, {args.micro_train_batch_size} a micro-batch: "
            f"{steps} steps",
            f"  rate        up to {args.learning_rate:g} in {warmup} warm-up steps, then {args.lr_scheduler}",
            f"  model       {args.pretrain}, ZeRO-{args.zero_stage}, {'bf16' if args.bf16 else 'float32'}"
            + (f", each row split over {split} ranks" if split > 1 else ""),
        ]
    )
