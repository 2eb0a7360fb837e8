"""An estimate of the memory that one GPU needs, from the model's configuration alone."""

from dataclasses import dataclass
from typing import Any

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


def actor_memory(args: Any, shape: ModelShape, world_size: int) -> dict[str, float]:
    """GiB per actor rank by what it is for; an estimate for the longest rows that the flags allow.

    Mixed precision as DeepSpeed keeps it: weights and gradients in the model's dtype, float32 master weights and
    two Adam moments (12 bytes a parameter with bf16, 8 without).
    """
    width = 2 if args.bf16 else 4
    stage = args.zero_stage
    trained = shape.parameters if args.lora_rank == 0 else _lora_parameters(args, shape)
    parts = {
        "weights": shape.parameters * width / (world_size if stage == 3 else 1),
        "gradients": trained * 4 / (world_size if stage >= 2 else 1),
        "optimiser": 0.0 if args.adam_offload else trained * (12 if args.bf16 else 8) / (world_size if stage else 1),
        "gathered layers": (2 * shape.layer + shape.embedding) * width if stage == 3 else 0.0,
    }
    shared = shape.parameters / (world_size if stage == 3 else 1)
    parts["frozen copies"] = _frozen_copies(args) * shared * width
    if args.enable_ema or (args.advantage_estimator == "intro" and args.intro_posterior == "ema"):
        parts["moving average"] = shared * 4
    tokens = args.micro_train_batch_size * (args.prompt_max_len + args.generate_max_len) / args.ring_attn_size
    # A decoder layer's own activations are about 34 numbers per token and unit of width (Korthikanti et al. 2022,
    # eq. 2, without the attention matrix, which sdpa and flash attention do not keep).
    per_layer = tokens * shape.width * 34 / 2 * width
    kept = tokens * shape.width * width * shape.layers
    parts["activations"] = kept + per_layer if args.gradient_checkpointing else per_layer * shape.layers
    parts["output layer"] = 6 * args.score_chunk_size * shape.vocabulary * 4 + shape.embedding * 4
    return {name: value / GIB for name, value in parts.items() if value}


def _frozen_copies(args: Any) -> int:
    """Models that InTRO keeps beside the policy; other methods' reference is a role of its own."""
    if args.advantage_estimator != "intro":
        return 0
    reference = bool(args.use_kl_loss and args.init_kl_coef > 0)
    if args.intro_posterior == "initial":
        return 1  # one frozen model serves both
    return reference + (args.intro_posterior == "ema")


def engine_weights(shape: ModelShape, tensor_parallel_size: int, bf16: bool) -> float:
    """GiB of weights on each GPU of an engine; the rest of its share becomes cache."""
    return shape.parameters * (2 if bf16 else 4) / tensor_parallel_size / GIB


def _lora_parameters(args: Any, shape: ModelShape) -> float:
    """Rank-r factors on the seven linear maps of a layer, each about width × 2.5 width."""
    return shape.layers * 7 * args.lora_rank * 3.5 * shape.width
