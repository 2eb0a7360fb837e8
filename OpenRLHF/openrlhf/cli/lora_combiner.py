"""Adds a LoRA adapter to its model: python3 -m openrlhf.cli.lora_combiner --model_path … --lora_path … ..."""

import sys
from collections.abc import Sequence
from pathlib import Path

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import run_command
from openrlhf.config.inference import CombinerConfig
from openrlhf.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    return run_command("lora_combiner", argv, lambda config: (config, []), begin)


def begin(config: CombinerConfig, notes: list[str], parsed: Parsed) -> None:
    combine(config.model_path, config.lora_path, config.output_path, is_rm=config.is_rm, bf16=config.bf16)
    print(f"wrote {config.output_path}")


def combine(model_path: str, lora_path: str, output_path: str, *, is_rm: bool, bf16: bool) -> None:
    """Writes a plain Hugging Face folder."""
    output = Path(output_path)
    if output.exists() and any(Path(p).exists() and output.samefile(p) for p in (model_path, lora_path)):
        raise UserError(f"--output_path {output_path} is what is read: give another folder")
    from openrlhf.models.adapters import merged_network
    from openrlhf.models.loader import load_tokenizer
    from openrlhf.models.saving import save_pretrained

    tokenizer = load_tokenizer(model_path)
    network = merged_network(model_path, lora_path, is_rm=is_rm, bf16=bf16)
    save_pretrained(network, tokenizer, output, source=model_path)


if __name__ == "__main__":
    sys.exit(main())
