"""The command line, and the shell scripts as they are."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from evaluation_fakes import fake_model, write_rows

from openrlhf.cli.math_eval import main, parse
from openrlhf.config.evaluation import benchmark_rules
from openrlhf.config.settings import values_of
from openrlhf.errors import UserError
from openrlhf.evaluation.generation import models

HERE = Path(__file__).resolve().parents[3] / "code/eval/Qwen2.5-Math/evaluation"
REFERENCE_DEFAULTS = {
    "data_names": "gsm8k,math",
    "prompt_type": "tool-integrated",
    "model_name_or_path": None,
    "split": "test",
    "num_test_sample": -1,
    "seed": 0,
    "start": 0,
    "end": -1,
    "temperature": 0,
    "n_sampling": 1,
    "top_p": 1,
    "max_tokens_per_call": 2048,
    "num_shots": 0,
    "pipeline_parallel_size": 1,
    "shuffle": False,
    "use_vllm": False,
    "save_outputs": False,
    "overwrite": False,
    "use_safetensors": False,
    "apply_chat_template": False,
    "adapt_few_shot": False,
}


def test_flags_and_defaults_are_the_references():
    config, remarks = benchmark_rules(parse([]))
    assert {name: values_of(config)[name] for name in REFERENCE_DEFAULTS} == REFERENCE_DEFAULTS
    assert (str(config.questions.data_dir), str(config.output.output_dir), remarks) == ("data", "output", [])


def test_the_abbreviation_that_the_references_script_uses_works():
    config = parse(["--data_name", "aime25,math500"])
    assert config.questions.names == ["aime25", "math500"]


def test_flags_without_effect_say_so():
    _, remarks = benchmark_rules(parse(["--save_outputs", "--use_safetensors", "--top_p", "0.9"]))
    assert len(remarks) == 3
    assert all("no effect" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--n_sampling", "4"], "same response 4 times"),
        (["--pipeline_parallel_size", "2"], "--tensor_parallel_size"),
        (["--use_vllm", "--rollout_engine", "hf"], "contradict"),
        (["--prompt_type", "qwen"], "qwen25-math-cot"),
        (["--prompt_type", "none", "--num_shots", "4"], "nothing else"),
        (["--data_names", ","], "names no set"),
        (["--temperature", "-1"], "at least 0"),
    ],
)
def test_what_cannot_work_is_refused_with_a_way_out(flags, message):
    with pytest.raises(UserError, match=message):
        benchmark_rules(parse(flags))


def test_a_number_of_examples_that_is_none_is_refused_with_what_is_expected(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--num_shots", "few"])
    assert ended.value.code == 2
    assert "--num_shots: 'few' is neither a number from 0 on nor auto" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "is needed"),
        ("./nowhere", "no such folder"),
        ("{tmp}", "config.json"),
        ("a/b/c", "no such folder"),
    ],
)
def test_a_model_that_is_not_there_is_named_before_anything_is_loaded(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        models.require_model(name and name.format(tmp=tmp_path))


def test_a_hub_model_without_a_hub_is_refused(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="hub cannot be reached"):
        models.require_model("Qwen/Qwen2.5-Math-72B-Instruct")


@pytest.mark.parametrize(
    ("gpus", "fits", "parallel"),
    [([80], True, 1), ([24] * 4, True, 1), ([12] * 8, True, 2), ([4] * 8, True, 8), ([2] * 4, False, 4)],
)
def test_a_model_is_split_over_as_many_gpus_as_it_needs(tmp_path, monkeypatch, gpus, fits, parallel):
    # 16 GB of weights need 20 GB with what runs beside them.
    folder = fake_model(tmp_path / "model")
    monkeypatch.setattr(models, "weight_bytes", lambda name: 16 * 10**9)
    monkeypatch.setattr(models, "gpu_memory", lambda: [size * 10**9 for size in gpus])
    verdict = models.fit(str(folder))
    assert (verdict.fits, verdict.tensor_parallel_size) == (fits, parallel)


def test_sizes_come_from_the_files_or_from_the_name(tmp_path):
    folder = fake_model(tmp_path / "model")
    assert models.weight_bytes(str(folder)) == len(b"weights of the fake model")
    (folder / "model.safetensors.index.json").write_text('{"metadata": {"total_size": 12345}}')
    assert models.weight_bytes(str(folder)) == 12345
    assert models.weight_bytes("Qwen/Qwen2.5-Math-1.5B-Instruct") == 3 * 10**9
    assert models.weight_bytes("somebody/model") is None


def run_script(name, *flags, **environment):
    return subprocess.run(
        ["bash", str(HERE / "sh" / name), *flags],
        env={**os.environ, "PYTHON": sys.executable, "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_models_that_are_not_to_be_had_are_skipped_with_a_message(tmp_path):
    done = run_script("run_eval_qwen2_math.sh", OUTPUT_DIR=str(tmp_path))
    assert done.returncode == 1
    for size in ("1.5B", "7B", "72B"):
        for family in ("Qwen2.5-Math", "Qwen2-Math"):
            assert f"was skipped: Qwen/{family}-{size}-Instruct" in done.stdout
    assert "no model was scored" in done.stderr


def test_a_script_without_its_arguments_says_how_it_is_called():
    done = run_script("eval.sh", "cot")
    assert done.returncode == 2
    assert "PROMPT_TYPE MODEL" in done.stderr


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """A random Qwen2 with a tokenizer of bytes, saved as any model is."""
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers import models as tokenizer_models
    from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0, **{letter: i + 1 for i, letter in enumerate(alphabet)}}
    inner = Tokenizer(tokenizer_models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        eos_token_id=0,
        bos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    GenerationConfig(eos_token_id=0).save_pretrained(folder)
    return folder


@pytest.fixture
def arithmetic(tmp_path):
    rows = [{"problem": f"{i} + 1 =", "answer": str(i + 1)} for i in range(40)]
    write_rows(tmp_path / "data" / "sums" / "test.jsonl", rows)
    write_rows(tmp_path / "data" / "products" / "test.jsonl", [*rows[:3], {"problem": "x" * 900, "answer": "1"}])
    return tmp_path / "data"


@pytest.mark.slow
def test_the_script_scores_every_model_and_prompt_and_writes_one_report(tiny_model, arithmetic, tmp_path):
    twin = tmp_path / "other" / "tiny"
    twin.parent.mkdir()
    twin.symlink_to(tiny_model)
    done = run_script(
        "run_eval_qwen2_math.sh",
        *("--rollout_engine", "hf", "--max_tokens_per_call", "8", "--dtype", "float32"),
        MODELS=f"{tiny_model},{twin} Qwen/Qwen2.5-Math-72B-Instruct",
        PROMPT_TYPE="none mistyped",
        DATA_NAMES="sums,products",
        DATA_DIR=str(arithmetic),
        OUTPUT_DIR=str(tmp_path / "out"),
        NUM_TEST_SAMPLE="4",
    )
    assert done.returncode == 1
    assert f"failed: {tiny_model} with mistyped" in done.stderr
    assert "was skipped: Qwen/Qwen2.5-Math-72B-Instruct" in done.stdout
    stem = "test_none_4_seed0_t0.0_s0_e-1"
    for folder in ("tiny", "tiny-2"):
        for name in ("sums", "products"):
            path = tmp_path / "out" / folder / name / f"{stem}_none_metrics.json"
            assert json.loads(path.read_text())["num_samples"] == 4
    long = (tmp_path / "out" / "tiny" / "products" / f"{stem}.jsonl").read_text().split("\n")[3]
    assert json.loads(long)["finish_reason"] == ["prompt_too_long"]
    assert "2 runs on 2 sets." in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_samples_every_problem_as_often_as_asked(tiny_model, arithmetic, tmp_path):
    pytest.importorskip("vllm", reason="vLLM is not installed")
    done = run_script(
        "eval.sh",
        *("none", str(tiny_model), "--use_vllm", "--dtype", "float32", "--max_tokens_per_call", "8"),
        *("--n_sampling", "4", "--temperature", "1"),
        DATA_NAMES="sums",
        DATA_DIR=str(arithmetic),
        OUTPUT_DIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    stem = "test_none_-1_seed0_t1.0_s0_e-1"
    rows = [json.loads(line) for line in (tmp_path / "sums" / f"{stem}.jsonl").read_text().splitlines()]
    assert [len(row["code"]) for row in rows] == [4] * 40
    assert all(1 <= tokens <= 8 for row in rows for tokens in row["tokens"])
    assert len({text for row in rows for text in row["code"]}) > 40  # samples differ


@pytest.mark.slow
def test_a_run_killed_half_way_and_continued_gives_the_same_files(tiny_model, arithmetic, tmp_path):
    def command(output):
        return [
            *(
                sys.executable,
                str(HERE / "math_eval.py"),
                "--data_names",
                "sums",
                "--data_dir",
                str(arithmetic),
            ),
            *("--model_name_or_path", str(tiny_model), "--output_dir", str(output), "--prompt_type", "none"),
            *("--rollout_engine", "hf", "--dtype", "float32", "--max_tokens_per_call", "100"),
            *("--temperature", "1", "--n_sampling", "4", "--grading_workers", "1"),
        ]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, timeout=300)
    partial = tmp_path / "killed" / "sums" / "test_none_-1_seed0_t1.0_s0_e-1.partial.jsonl"
    process = subprocess.Popen(
        command(tmp_path / "killed"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while not (partial.exists() and partial.read_bytes().count(b"\n") > 60):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = partial.read_bytes().count(b"\n") - 1
    assert 60 <= kept < 160
    done = subprocess.run(command(tmp_path / "killed"), check=True, capture_output=True, text=True, timeout=300)
    assert f"{kept}/160" in done.stderr.replace("\r", "\n")  # the progress bar starts there
    whole, resumed = (
        json.loads((tmp_path / run / "sums" / "test_none_-1_seed0_t1.0_s0_e-1_none_metrics.json").read_text())
        for run in ("whole", "killed")
    )
    assert {**resumed, "time_use_in_second": 0} == {**whole, "time_use_in_second": 0}
    samples = [
        (tmp_path / run / "sums" / "test_none_-1_seed0_t1.0_s0_e-1.jsonl").read_bytes() for run in ("whole", "killed")
    ]
    assert samples[0] == samples[1]
