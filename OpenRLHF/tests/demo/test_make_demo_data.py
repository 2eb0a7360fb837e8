"""The script that writes the demo, and the tokenizer and model in it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openrlhf.grading.extraction.boxes import find_boxes

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "code/examples/demo/make_demo_data.py"


def make(folder: Path, seed: int) -> Path:
    command = [sys.executable, str(SCRIPT), "--seed", str(seed), "--output_dir", str(folder), "--warm_start_texts"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "OpenRLHF")}
    done = subprocess.run([*command, "3000"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("demo"), 0)


@pytest.fixture(scope="module")
def tokenizer(demo):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(demo / "model")


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_the_same_seed_writes_the_same_bytes_and_no_temporary_file_stays(demo, tmp_path):
    again = make(tmp_path / "again", 0)

    def digests(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    assert digests(demo) == digests(again)
    assert not [name for name in digests(demo) if name.endswith(".tmp")]


def test_the_problems_have_the_layout_of_hendrycks_math(demo):
    train = rows(demo / "math/hendrycks_math_train.jsonl")
    assert len(train) == 1280
    assert {row["level"] for row in train} == {f"Level {level}" for level in range(1, 6)}
    assert {row["type"] for row in train} == {"Prealgebra", "Algebra", "Number Theory"}
    assert all(set(row) == {"problem", "level", "type", "solution"} for row in train)
    assert all(len(find_boxes(row["solution"])) == 1 for row in train)


def test_the_benchmark_has_600_problems_with_answers(demo):
    benchmark = rows(demo / "benchmark/demo/test.jsonl")
    assert len({row["problem"] for row in benchmark}) == 600
    assert all(row["answer"] and row["subject"] and 1 <= row["level"] <= 5 for row in benchmark)


def test_prompt_hint_and_response_tokenised_apart_are_the_ids_of_the_whole_text(demo, tokenizer):
    # The trainer puts ids together (prompt + hint + response), the warm start tokenises prompt with hint at once.
    for row in rows(demo / "warm_start.jsonl")[:1500]:
        problem, marker, answer = row["input"].partition(" ###Answer:")
        parts = [problem, marker + answer, row["output"] + " " + tokenizer.eos_token]
        apart = [token for part in parts if part for token in tokenizer(part)["input_ids"]]
        assert apart == tokenizer("".join(parts))["input_ids"]


def test_digits_commands_and_braces_are_tokens_of_their_own(tokenizer):
    text = r" Clearly $\boxed{\frac{10}{7}}$, since $12\cdot3=36$."
    tokens = [tokenizer.decode([token]) for token in tokenizer(text)["input_ids"]]
    assert tokens[:8] == [" Clearly", " $", r"\boxed", "{", r"\frac", "{", "1", "0"]
    assert [token for token in tokens if any(c.isdigit() for c in token)] == list("1071233" + "6")


@pytest.mark.parametrize("text", ["", "Größe: 3 % €", "\u2028\n\t∑", r"$\alpha_{12}$ 漢字"])
def test_any_text_survives_encoding_and_decoding(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_model_fits_its_tokenizer_and_ends_where_it_ends(demo, tokenizer):
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(demo / "model")
    assert model.config.vocab_size == len(tokenizer) <= 384
    assert model.config.tie_word_embeddings
    assert str(model.dtype) == "torch.float32"
    assert GenerationConfig.from_pretrained(demo / "model").eos_token_id == tokenizer.eos_token_id
    # embedding; per layer q, k, v with bias, o, three MLP matrices, two norms; the last norm
    width, inner, key_value = 128, 384, 64
    layer = width * (width + 2 * key_value) + width + 2 * key_value + width * width + 3 * width * inner + 2 * width
    assert model.num_parameters() == len(tokenizer) * width + 3 * layer + width


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(demo, tmp_path):
    from openrlhf.demo.starting_model import save_random_model

    def weights(name: str, seed: int) -> bytes:
        shutil.copytree(demo / "model", tmp_path / name)
        save_random_model(tmp_path / name, seed, 512)
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert weights("a", 1) == weights("b", 1) != weights("c", 2)
