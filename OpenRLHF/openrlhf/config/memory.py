"""The ledger of GPU memory: what lies on a policy's GPU in which phase of a step, and an estimate of how much it is.

The plan prints and judges it before anything starts; `trainer.gpu_memory` moves things as `residence` says. Where a
GPU disagrees with an estimate, this is the place to mend.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openrlhf.config.reinforcement import RLConfig

GIB = 2**30


# In order: engines come up, models load, then round and round. "update" is forward and backward, "step" the
# optimiser's part.
PHASES = ("start", "load", "generate", "score", "update", "step", "sync")
ALWAYS = frozenset(PHASES)
LOADED = ALWAYS - {"start"}

# What a process takes before it holds anything: the CUDA context and libraries' workspaces. GiB, from others' reports.
CONTEXT_GIB = 0.6
# DeepSpeed's default reduce_bucket_size, and the elements of the optimiser's states that a ZeRO-3 step handles at once.
BUCKET, SUB_GROUP = 5e8, 1e9


@dataclass(frozen=True)
class Holding:
    """Something that a role keeps on its GPU. phases: those in which it lies there."""

    role: str
    name: str
    gib: float
    phases: frozenset[str] = ALWAYS


@dataclass(frozen=True)
class ModelShape:
    """parameters: all of them, tied ones once. layer: of the largest decoder layer. embedding: vocabulary × width."""

    parameters: int
    layer: int
    embedding: int
    layers: int
    width: int
    vocabulary: int


def shape_of(config: Any) -> ModelShape:
    """Counts parameters on the meta device: no memory is taken, no weight is read."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    text = config.get_text_config()
    layers = getattr(model.base_model, "layers", None) or getattr(model.base_model, "h", [])
    return ModelShape(
        parameters=sum(p.numel() for p in model.parameters()),
        layer=max((sum(p.numel() for p in layer.parameters()) for layer in layers), default=0),
        embedding=text.vocab_size * text.hidden_size,
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        vocabulary=text.vocab_size,
    )


def residence(config: RLConfig) -> dict[str, frozenset[str]]:
    """Phases in which each thing that can be moved lies on its GPU; everything else lies there always.

    "engine weights", "engine cache", and "optimiser": master weights, moments and gradient buffers of those that train.
    """
    weights = cache = ALWAYS
    if config.engine.vllm_enable_sleep:
        weights, cache = frozenset(("start", "generate", "sync")), frozenset(("start", "generate"))
    optimiser = frozenset(("load", "update", "step")) if config.placement.deepspeed_enable_sleep else LOADED
    return {"engine weights": weights, "engine cache": cache, "optimiser": optimiser}


def ledger(
    config: RLConfig, shapes: Mapping[str, ModelShape], gpu_gib: float | None = None, engines: bool = True
) -> list[Holding]:
    """What lies on one of the policy's GPUs.

    shapes: of the models by their roles: "actor", and where they are there "critic", "reference", "reward0", …; what
        a role shares the policy's GPU with by the --colocate_* flags counts, others do not.
    engines: whether a colocated engine counts.
    gpu_gib: of one GPU; None leaves out the engine's cache, which fills its share.
    """
    placement = config.placement
    everything = placement.colocate_all_models
    found = _trained("actor", config, shapes["actor"], placement.actor_ranks)
    for role, shape in shapes.items():
        if role == "critic" and everything:
            found += _trained(role, config, shape, placement.critic_ranks)
        elif role != "actor" and (everything or (role == "reference" and placement.colocate_actor_ref)):
            ranks = placement.reference_ranks if role == "reference" else placement.reward_ranks
            found += _frozen(role, config, shape, ranks)
    if everything and engines and config.engines:
        found += engine_holdings(config, shapes["actor"], gpu_gib)
    return found


def engine_holdings(config: RLConfig, shape: ModelShape, gpu_gib: float | None) -> list[Holding]:
    """What an engine keeps on each of its GPUs."""
    lies, weights = residence(config), engine_weights(shape, config.engine.vllm_tensor_parallel_size, config.model.bf16)
    found = [Holding("engine", "context", CONTEXT_GIB), Holding("engine", "weights", weights, lies["engine weights"])]
    if gpu_gib is not None:
        cache = gpu_gib * config.engine.vllm_gpu_memory_utilization - weights - CONTEXT_GIB
        found.append(Holding("engine", "cache", max(0.0, cache), lies["engine cache"]))
    return found


def held(holdings: list[Holding], phase: str) -> dict[str, float]:
    """GiB by role in a phase."""
    found: dict[str, float] = {}
    for holding in holdings:
        if phase in holding.phases:
            found[holding.role] = found.get(holding.role, 0.0) + holding.gib
    return found


def _trained(role: str, config: RLConfig, shape: ModelShape, ranks: int) -> list[Holding]:
    """A model that is trained. Mixed precision as DeepSpeed keeps it: weights and gradients in the model's dtype,
    float32 master weights and two Adam moments (12 bytes a parameter with bf16, 8 without)."""
    model, settings, lora = config.model, config.deepspeed, config.model.lora.lora_rank
    width, stage = 2 if model.bf16 else 4, settings.zero_stage
    trained = shape.parameters if lora == 0 else _lora_parameters(lora, shape)
    gradients: float = 4 if settings.grad_accum_dtype == "fp32" else width
    gradients *= trained / (ranks if stage >= 2 else 1)
    states = trained * (12 if model.bf16 else 8) / (ranks if stage else 1)
    bucket = BUCKET * width if stage == 3 else min(BUCKET, trained) * width * bool(stage)
    at_once = min(trained / (ranks if stage else 1), SUB_GROUP) * 4 * model.bf16
    if settings.adam_offload:  # DeepSpeed keeps gradients beside the optimiser then
        states, at_once, gradients = 0.0, 0.0, gradients if stage == 0 else 0.0
    update, step = frozenset(("update",)), frozenset(("step",))
    # ZeRO-3 keeps its gradient buffers between steps.
    resident = residence(config)["optimiser"] if stage == 3 else LOADED
    parts = [
        ("weights", shape.parameters * width / (ranks if stage == 3 else 1), LOADED),
        ("gradients", gradients, resident if stage == 3 else update | step),
        ("optimiser", states, resident),
        ("gradient buckets", bucket, resident if stage == 3 else update),
        ("float32 gradients", at_once, step),
        *_work(config, shape, scores=role == "critic" or config.method.needs_old_logprobs),
    ]
    if role == "actor":
        parts += _beside_the_policy(config, shape, ranks)
    found = [Holding(role, name, size / GIB, phases) for name, size, phases in parts if size and phases]
    return [Holding(role, "context", CONTEXT_GIB, LOADED), *found]


def _work(config: RLConfig, shape: ModelShape, scores: bool) -> list[tuple[str, float, frozenset[str]]]:
    """What a pass needs while it runs, for the longest rows that the settings allow: bytes by name and phases.

    scores: whether rollouts are scored before they are trained on.
    """
    model, rollout, width = config.model, config.rollout, 2 if config.model.bf16 else 4
    tokens = (rollout.prompt_max_len + rollout.generate_max_len) / model.ring_attn_size
    optimizer = config.optimizer
    budget = optimizer.max_tokens_per_micro_batch / model.ring_attn_size
    rows = max(1.0, budget / tokens) if budget else optimizer.micro_train_batch_size
    # A decoder layer's own activations are about 34 numbers per token and unit of width (Korthikanti et al. 2022,
    # eq. 2, without the attention matrix, which sdpa and flash attention do not keep).
    layer = tokens * shape.width * 34 / 2 * width
    kept = tokens * shape.width * width * shape.layers
    activations = kept + layer if model.gradient_checkpointing else layer * shape.layers
    logits = 6 * model.score_chunk_size * shape.vocabulary * 4
    # Its weight's gradient is added up in float32; in bf16 each chunk's part is a tensor of its own. LoRA has none.
    head = 0 if model.lora.lora_rank else shape.embedding * 4 * (2 if model.bf16 else 1)
    gathered = (2 * shape.layer + shape.embedding) * width if config.deepspeed.zero_stage == 3 else 0.0
    update, score = frozenset(("update",)), frozenset(("score",) if scores else ())
    return [
        ("gathered layers", gathered, update | score),
        ("activations", activations * rows, update),
        ("output layer", logits + head, update),
        ("a layer's activations", layer * rollout.micro_rollout_batch_size + logits, score),
    ]


def _beside_the_policy(config: RLConfig, shape: ModelShape, ranks: int) -> list[tuple[str, float, frozenset[str]]]:
    width = 2 if config.model.bf16 else 4
    shard = shape.parameters / (ranks if config.deepspeed.zero_stage == 3 else 1)
    averages = config.method.averages_weights
    copies = config.method.frozen_copies(config.needs_reference and not config.reference_is_a_role)
    if config.placement.ref_reward_offload:
        copies = int(averages)  # only the model that holds the average stays
    return [
        ("frozen copies", copies * shard * width, LOADED),
        ("moving average", (config.policy.enable_ema or averages) * shard * 4, LOADED),
        # Each is gathered, copied in the engine's type and put into a buffer.
        ("tensors on their way", 3 * shape.embedding * width, frozenset(("sync",))),
    ]


def _frozen(role: str, config: RLConfig, shape: ModelShape, ranks: int) -> list[Holding]:
    """A model that only scores."""
    width, sharded = 2 if config.model.bf16 else 4, config.deepspeed.zero_stage == 3
    offloaded = config.placement.ref_reward_offload
    tokens = config.rollout.micro_rollout_batch_size * (config.rollout.prompt_max_len + config.rollout.generate_max_len)
    work = tokens / config.model.ring_attn_size * shape.width * 34 / 2 * width
    work += (2 * shape.layer + shape.embedding) * width * (sharded or offloaded)
    parts = [
        ("weights", 0.0 if offloaded else shape.parameters * width / (ranks if sharded else 1), LOADED),
        # Rewards are given while others are still being generated.
        ("scoring", work, frozenset(("score",) if role == "reference" else ("generate",))),
    ]
    found = [Holding(role, name, size / GIB, phases) for name, size, phases in parts if size]
    return [Holding(role, "context", CONTEXT_GIB, LOADED), *found]


def engine_weights(shape: ModelShape, tensor_parallel_size: int, bf16: bool) -> float:
    """GiB of weights on each GPU of an engine; the rest of its share becomes cache."""
    return shape.parameters * (2 if bf16 else 4) / tensor_parallel_size / GIB


def _lora_parameters(rank: int, shape: ModelShape) -> float:
    """Rank-r factors on the seven linear maps of a layer, each about width × 2.5 width."""
    return shape.layers * 7 * rank * 3.5 * shape.width
