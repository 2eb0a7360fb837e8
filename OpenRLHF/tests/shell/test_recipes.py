"""Recipes for machines of several sizes: each is planned, and its head shows the plan."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from openrlhf.cli.train_ppo_ray_intro import main
from toy_models import byte_tokenizer

FOLDER = Path(__file__).parents[3] / "code" / "examples" / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))
# Of Qwen2.5, as published: width, feed-forward, layers, heads, key-value heads, vocabulary, tied.
SHAPES = {
    "0.5B": (896, 4864, 24, 14, 2, 151936, True),
    "1.5B": (1536, 8960, 28, 12, 2, 151936, True),
    "7B": (3584, 18944, 28, 28, 4, 152064, False),
    "32B": (5120, 27648, 64, 40, 8, 152064, False),
    "72B": (8192, 29568, 80, 64, 8, 152064, False),
}
NAMES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")


def model_folder(folder: Path, size: str) -> str:
    """Configuration and tokenizer, no weights: a plan reads none."""
    *sizes, vocabulary, tied = SHAPES[size]
    config = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], **dict(zip(NAMES, sizes, strict=True))}
    config |= {"vocab_size": vocabulary, "tie_word_embeddings": tied, "max_position_embeddings": 32768}
    folder.mkdir()
    byte_tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def shown(recipe: Path) -> list[str]:
    """The plan in the head of a recipe."""
    lines = recipe.read_text().splitlines()
    head = lines[lines.index("# Plan:") + 1 :]
    return [line[2:] for line in head if line.startswith("# ")]


def test_there_is_a_recipe_for_every_size_of_machine() -> None:
    machines = {recipe.name.partition("gb_")[0] for recipe in RECIPES}
    assert machines == {"1x24", "1x80", "2x80", "4x80", "5x80", "8x80", "2x8x80"}
    sizes = {yaml.safe_load(recipe.read_text())["model"]["pretrain"] for recipe in RECIPES}
    assert sizes == {f"Qwen/Qwen2.5-{size}" for size in SHAPES}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_fits_and_shows_its_plan(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine whose disk has room for checkpoints of that size, as this one need not have."""
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=10**14, used=0, free=10**14))
    monkeypatch.chdir(tmp_path)  # where the folders of the run would be made
    size = yaml.safe_load(recipe.read_text())["model"]["pretrain"].rpartition("-")[2]
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps([{"problem": f"{i} + 1 =", "answer": str(i + 1)} for i in range(4096)]))
    argv = [
        "--config",
        str(recipe),
        "--pretrain",
        model_folder(tmp_path / "model", size),
        "--prompt_data",
        str(prompts),
    ]
    assert main([*argv, "--plan_only"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(printed) if line.startswith("  devices"))
    plan = [line.rstrip().replace("flash_attention_2", "sdpa") for line in printed[start:] if line.startswith("  ")]
    # after a change of the ledger: put the plan that is printed here into the recipe
    assert [line.rstrip() for line in shown(recipe)] == plan, "\n".join(f"# {line}" for line in plan)
