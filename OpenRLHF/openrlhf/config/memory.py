"""An estimate of the memory that one GPU needs, from the model's configuration alone."""

from dataclasses import dataclass
from typing import Any

from openrlhf.config.reinforcement import RLConfig

GIB = 2**30


# The parts of `actor_memory` that stay on a GPU between updates.
RESIDENT = ("weights", "optimiser", "frozen copies", "moving average")


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


def actor_memory(config: RLConfig, shape: ModelShape, world_size: int) -> dict[str, float]:
    """GiB per actor rank by what it is for; an estimate for the longest rows that the settings allow.

    Mixed precision as DeepSpeed keeps it: weights and gradients in the model's dtype, float32 master weights and
    two Adam moments (12 bytes a parameter with bf16, 8 without).
    """
    model, rollout = config.model, config.rollout
    width = 2 if model.bf16 else 4
    stage = config.deepspeed.zero_stage
    rank = model.lora.lora_rank
    trained = shape.parameters if rank == 0 else _lora_parameters(rank, shape)
    moments = 0.0 if config.deepspeed.adam_offload else trained * (12 if model.bf16 else 8)
    parts = {
        "weights": shape.parameters * width / (world_size if stage == 3 else 1),
        "gradients": trained * 4 / (world_size if stage >= 2 else 1),
        "optimiser": moments / (world_size if stage else 1),
        "gathered layers": (2 * shape.layer + shape.embedding) * width if stage == 3 else 0.0,
    }
    shared = shape.parameters / (world_size if stage == 3 else 1)
    beside = config.needs_reference and not config.reference_is_a_role
    copies = config.method.frozen_copies(beside)
    parts["frozen copies"] = copies * shared * width
    if config.policy.enable_ema or config.method.averages_weights:
        parts["moving average"] = shared * 4
    tokens: float = config.optimizer.micro_train_batch_size * (rollout.prompt_max_len + rollout.generate_max_len)
    tokens /= model.ring_attn_size
    # A decoder layer's own activations are about 34 numbers per token and unit of width (Korthikanti et al. 2022,
    # eq. 2, without the attention matrix, which sdpa and flash attention do not keep).
    per_layer = tokens * shape.width * 34 / 2 * width
    kept = tokens * shape.width * width * shape.layers
    parts["activations"] = kept + per_layer if model.gradient_checkpointing else per_layer * shape.layers
    parts["output layer"] = 6 * model.score_chunk_size * shape.vocabulary * 4 + shape.embedding * 4
    return {name: value / GIB for name, value in parts.items() if value}


def engine_weights(shape: ModelShape, tensor_parallel_size: int, bf16: bool) -> float:
    """GiB of weights on each GPU of an engine; the rest of its share becomes cache."""
    return shape.parameters * (2 if bf16 else 4) / tensor_parallel_size / GIB


def _lora_parameters(rank: int, shape: ModelShape) -> float:
    """Rank-r factors on the seven linear maps of a layer, each about width × 2.5 width."""
    return shape.layers * 7 * rank * 3.5 * shape.width
