"""The last save: into folders that cannot be renamed, over another model, and where the disk refuses."""

import os
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from openrlhf.errors import UserError
from openrlhf.models import saving
from openrlhf.models.actor import Actor
from openrlhf.models.saving import save_pretrained
from openrlhf.utils import atomic
from toy_models import byte_tokenizer, save_toy, toy_model


def save(folder: Path, fallback: Path | None = None) -> None:
    save_pretrained(
        Actor(toy_model(1), packed=False, pad_token_id=257), byte_tokenizer(), folder, source="", fallback=fallback
    )


def test_a_mount_point_takes_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be renamed across the border of a mounted folder."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "run.yaml").write_text("mine")
    rename = os.replace

    def within(source: Path, target: Path) -> None:
        if (mounted in Path(source).parents) != (mounted in Path(target).parents):
            raise OSError(18, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(atomic.os, "replace", within)
    save(mounted)
    assert AutoModelForCausalLM.from_pretrained(mounted).config.hidden_size == 64
    assert (mounted / "run.yaml").read_text() == "mine"
    assert [entry.name for entry in mounted.iterdir() if entry.name.startswith(".")] == []


def test_nothing_of_another_model_stays_and_nothing_else_goes(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    save_toy(folder)
    stale = ("chat_template.jinja", "model-00001-of-00002.safetensors", "added_tokens.json", "tokenizer.model")
    for name in (*stale, "metrics.jsonl", "notes.txt"):
        (folder / name).write_text("{}")
    for name in ("adapter", "checkpoints_ppo_ray"):
        (folder / name).mkdir()
        (folder / name / "adapter_model.safetensors").write_text("")
    save(folder)
    left = {entry.name for entry in folder.iterdir()}
    assert left.isdisjoint({*stale, "adapter"})
    assert {"metrics.jsonl", "notes.txt", "checkpoints_ppo_ray", "model.safetensors", "config.json"} <= left


def test_a_save_that_fails_goes_beside_the_checkpoints_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"File exists.*the complete model is in .*ckpt/final_model: move it"):
        save(tmp_path / "file" / "out", tmp_path / "ckpt" / "final_model")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "ckpt" / "final_model").config.hidden_size == 64


def test_a_full_disk_leaves_the_old_model_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "_write", full)
    with pytest.raises(UserError, match=r"the model is lost: .*out cannot be written .*No space left"):
        save(tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    assert not [entry for entry in (tmp_path / "out").iterdir() if entry.name.startswith(".")]
