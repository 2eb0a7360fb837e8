"""Fixtures of the evaluation's tests."""

import os
from pathlib import Path

import pytest
from evaluation_fakes import CharacterTokenizer, ScriptedEngine, fake_model, write_rows

from openrlhf.cli.math_eval import main
from openrlhf.evaluation.generation import models


@pytest.fixture
def math_data() -> Path:
    """All of MATH and the benchmarks, where they are at hand."""
    folder = os.environ.get("INTRO_DATA_DIR")
    if not folder:
        pytest.skip("INTRO_DATA_DIR is not set: real benchmarks are not at hand")
    return Path(folder)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A set `toy` of four problems, a fake model, and `run`, which evaluates with a scripted engine."""
    return Toy(tmp_path, monkeypatch)


class Toy:
    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.output = folder / "output"
        self.model = fake_model(folder / "model")
        self.monkeypatch = monkeypatch
        rows = [
            {"problem": "1+1", "answer": "2", "level": "Level 1", "subject": "Sums"},
            {"problem": "2+2", "answer": "4", "level": "Level 1", "subject": "Sums"},
            {"problem": "3*3", "answer": "9", "level": "Level 2", "subject": "Products"},
            {"problem": "1/2", "answer": r"\frac{1}{2}", "level": "Level 2", "subject": "Quotients"},
        ]
        write_rows(self.data / "toy" / "test.jsonl", rows)

    def run(self, script, *flags: str, prompt_type: str = "none", names: str = "toy", dies_after=None):
        """(exit status, engine)."""
        engine = ScriptedEngine(script, dies_after)
        self.monkeypatch.setattr("openrlhf.rollout.pool.open_pool", lambda *args, **kwargs: engine)
        self.monkeypatch.setattr("openrlhf.rollout.model_files.load_config", lambda name: None)
        self.monkeypatch.setattr("openrlhf.rollout.model_files.context_length", lambda config, wanted: wanted or 4096)
        self.monkeypatch.setattr(models, "load_tokenizer", lambda name: CharacterTokenizer())
        status = main(
            [
                *("--data_names", names),
                *("--data_dir", str(self.data)),
                *("--model_name_or_path", str(self.model)),
                *("--output_dir", str(self.output)),
                *("--prompt_type", prompt_type),
                *("--grading_workers", "1"),
                *flags,
            ]
        )
        return status, engine
