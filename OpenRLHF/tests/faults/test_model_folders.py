"""Models that cannot be loaded are refused by what their files say, before torch is imported."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from openrlhf.cli.arguments import parse
from openrlhf.cli.reading import check_models
from openrlhf.errors import UserError
from openrlhf.models.model_folder import check_model_folder
from toy_models import save_toy


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def cut_to_nothing(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x08\x00")


def no_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


def no_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((4).to_bytes(8, "little") + b"[1]]")


def changed(name: str, **values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        stored = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**stored, **values}))

    return change


def removed(*names: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def sharded(folder: Path, *lose: str) -> None:
    """Two files and an index, as large models have."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {name: f"model-0000{number % 2 + 1}-of-00002.safetensors" for number, name in enumerate(tensors)}
    for file in set(where.values()):
        kept = {name: tensors[name] for name in where if where[name] == file and name not in lose}
        save_file(kept, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


def sharded_without_a_file(folder: Path) -> None:
    sharded(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def sharded_with_a_tensor_elsewhere(folder: Path) -> None:
    sharded(folder, "model.norm.weight")


def sharded_with_a_broken_index(folder: Path) -> None:
    sharded(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": ["a"')


def a_token_beyond(folder: Path) -> None:
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored["added_tokens"].append({**stored["added_tokens"][0], "id": 258, "content": "<|new|>"})
    (folder / "tokenizer.json").write_text(json.dumps(stored))


DAMAGE = {
    "cut": (cut, r"model.safetensors has \d+ bytes instead of \d+"),
    "cut to nothing": (cut_to_nothing, "is cut or no safetensors file"),
    "a pointer of git-lfs": (no_safetensors, "is cut or no safetensors file"),
    "no header": (no_header, "has no readable header"),
    "missing": (removed("model.safetensors"), "there are no weights"),
    "another vocabulary": (
        changed("config.json", vocab_size=300),
        r"shape \[258, 64\], but config.json says \[300, 64\]",
    ),
    "another width": (changed("config.json", hidden_size=128), r"shape \[258, 64\], but config.json says \[258, 128\]"),
    "fewer layers": (changed("config.json", num_hidden_layers=3), "of 2 layers, but config.json says 3"),
    "no configuration": (removed("config.json"), "there is no config.json"),
    "broken configuration": (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
    "a file missing": (sharded_without_a_file, "model-00002-of-00002.safetensors is missing"),
    "a tensor missing": (sharded_with_a_tensor_elsewhere, "does not hold model.norm.weight"),
    "a broken index": (sharded_with_a_broken_index, "index.json cannot be read"),
    "no tokenizer": (removed("tokenizer.json", "tokenizer_config.json"), "there is no tokenizer"),
    "a broken tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text("{}x"),
        "tokenizer.json cannot be read",
    ),
    "an added token beyond": (a_token_beyond, r"added token '<\|new\|>' has the id 258, but the embedding ends at 257"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_folder_is_refused_in_one_line(tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    save_toy(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=said) as refused:
        check_model_folder(str(tmp_path), "pretrain")
    assert str(refused.value).startswith(f"--pretrain {tmp_path}: ")
    assert len(str(refused.value).splitlines()) == 1


def test_whole_folders_pass_and_names_on_the_hub_are_left_alone(tmp_path: Path) -> None:
    save_toy(tmp_path)
    check_model_folder(str(tmp_path), "pretrain")
    sharded(tmp_path)
    check_model_folder(str(tmp_path), "pretrain")
    check_model_folder("Qwen/Qwen2.5-1.5B", "pretrain")
    with pytest.raises(UserError, match="there is no such folder"):
        check_model_folder(str(tmp_path / "none"), "pretrain")


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ("train_sft", "pretrain"),
        ("train_dpo", "ref_pretrain"),
        ("train_kd", "teacher_model"),
        ("train_ppo_ray", "critic_pretrain"),
        ("train_ppo_ray", "reward_pretrain"),
        ("serve_rm", "reward_pretrain"),
        ("batch_inference", "pretrain"),
        ("interactive_chat", "pretrain"),
    ],
)
def test_every_flag_that_names_a_model_is_checked(command: str, flag: str) -> None:
    with pytest.raises(UserError, match=f"--{flag} /nowhere: there is no such folder"):
        check_models(parse(command, [f"--{flag}", "/nowhere"]).config)


def test_the_check_needs_no_torch() -> None:
    code = "import sys, openrlhf.cli.reading; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
