"""The models that are loaded, and how."""

from dataclasses import dataclass

from openrlhf.config.settings import section, setting, switch


@dataclass(frozen=True)
class LoraConfig:
    lora_rank: int = setting(0, "Rank of the LoRA matrices; 0 trains all weights.", at_least=0)
    lora_alpha: int = setting(16, "LoRA scale: the update is multiplied by alpha / rank.")
    lora_dropout: float = setting(0, "Dropout on the input of the LoRA matrices, a probability.", at_least=0, at_most=1)
    target_modules: str | tuple[str, ...] = setting(
        "all-linear", "Names of the layers that get LoRA matrices.", nargs="*"
    )


@dataclass(frozen=True)
class LoadingConfig:
    """What every command that loads a model asks."""

    attn_implementation: str | None = setting(
        None,
        "Attention: sdpa, eager, flash_attention_2, …; without it flash_attention_2 under --flash_attn and sdpa"
        " otherwise.",
    )
    flash_attn: bool = switch("Use FlashAttention 2 (needs the flash-attn package and a GPU).")
    bf16: bool = switch("Compute in bfloat16 instead of float32.")
    load_in_4bit: bool = switch("Load the weights quantised to 4 bits (needs bitsandbytes and a GPU).")
    disable_fast_tokenizer: bool = switch("Use the slow Python tokenizer.")
    use_ms: bool = switch("Download models and data from ModelScope instead of the Hugging Face hub.")

    @property
    def dtype(self) -> str:
        """torch's name of the type of weights and activations."""
        return "bfloat16" if self.bf16 else "float32"


@dataclass(frozen=True)
class ModelConfig(LoadingConfig):
    """A model that is trained; frozen ones beside it are loaded likewise, as far as it applies to them.

    After the rules `attn_implementation` is decided.
    """

    pretrain: str | None = setting(None, "Model to start from: a Hugging Face folder or hub name.")
    use_liger_kernel: bool = switch("Use Liger's fused Triton kernels (needs liger-kernel and a GPU).")
    torch_compile: bool = switch("Compile the model with torch.compile.")
    packing_samples: bool = switch("Put several samples into one row without padding; they stay isolated.")
    ring_attn_size: int = setting(1, "GPUs that share every packed row (sequence parallelism); 1: none.", at_least=1)
    ring_head_stride: int = setting(
        1,
        "Attention heads that ring attention handles at a time; no effect here.",
        without_effect="--ring_attn_size exchanges all heads at once (DeepSpeed-Ulysses)",
    )
    gradient_checkpointing: bool = switch("Compute activations again in the backward pass instead of keeping them.")
    gradient_checkpointing_use_reentrant: bool = switch("Use torch's older, reentrant checkpointing.")
    score_chunk_size: int = setting(
        512, "Positions that go through the output layer at once; less needs less memory.", at_least=1
    )
    aux_loss_coef: float = setting(
        0, "Weight of the router's balancing loss in mixture-of-experts models; 0: none.", at_least=0
    )
    lora: LoraConfig = section(LoraConfig, "LoRA")
