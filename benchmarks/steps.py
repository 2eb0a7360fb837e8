"""Whole steps of reinforcement learning, generation and sync included, against TRL's GRPOTrainer.

Both get the same prompts, lengths, precision and cores, one after the other. TRL is compared with where it
can be imported (`pip install --no-deps trl==1.16.0` is enough).
"""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
REWARD = """
def reward_func(queries, prompts, labels):
    return [float(sum(query.encode()) % 5 < 2) for query in queries]
"""
WORDS = "a farmer has some apples and sells three of them each day how many are left after two weeks"


@dataclass(frozen=True)
class Case:
    """prompts × samples completions of `completion` tokens a step. model: a folder, or "" for the toy."""

    what: str
    model: str
    threads: int
    prompts: int
    samples: int
    completion: int
    micro: int
    steps: int
    bf16: bool = False


def toy_case() -> Case:
    return Case("vocabulary 151,936, width 256, 2 layers", "", 1, 2, 4, 128, 8, 4)


def real_case(bf16: bool = False) -> Case:
    folder = os.environ.get("REAL_MODEL", "")
    if not folder:
        sys.exit("REAL_MODEL must name a folder with a real model (code/examples/real_model/fetch.py makes one)")
    precision = "bf16" if bf16 else "float32"
    return Case(f"{Path(folder).name}, 64 responses, {precision}", folder, 2, 8, 8, 48, 8, 3, bf16)


def rows(case: Case) -> list[list[str]]:
    """A line per way: seconds a step (median without the first), its parts, peak memory, and the ratio to TRL's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = case.model or str(_toy_model(folder / "model"))
        (folder / "reward.py").write_text(REWARD)
        words = WORDS.split()
        questions = [
            {"input": " ".join(words[(i * 7 + j * 3) % len(words)] for j in range(40)), "answer": "1"}
            for i in range(case.prompts * case.steps)
        ]
        (folder / "prompts.json").write_text(json.dumps(questions))
        found = {
            "GRPO": ours("train_ppo_ray", ["--advantage_estimator", "group_norm"], model, folder, case),
            "InTRO": ours("train_ppo_ray_intro", [], model, folder, case),
        }
        if importlib.util.find_spec("trl"):
            found["TRL GRPOTrainer"] = theirs(model, folder, case)
    peer = found.get("TRL GRPOTrainer")
    return [
        [
            *(case.what, way, f"{result['seconds']:.1f}", str(result.get("parts", ""))),
            *(f"{result['gib']:.2f}", f"{result['seconds'] / peer['seconds']:.2f}" if peer else "–"),
            f"{result['gib'] / peer['gib']:.2f}" if peer else "–",
        ]
        for way, result in found.items()
    ]


def ours(command: str, flags: list[str], model: str, folder: Path, case: Case) -> dict:
    """Through the command, with Ray and vLLM; memory is the policy rank's."""
    batch = case.prompts * case.samples
    out = folder / command
    arguments = [
        *("--pretrain", model, "--prompt_data", str(folder / "prompts.json"), "--input_key", "input"),
        *("--label_key", "answer", "--remote_rm_url", str(folder / "reward.py"), "--save_path", str(out)),
        *("--ckpt_path", str(folder / f"{command}_ckpt"), "--disable_ds_ckpt", "--save_steps", "-1"),
        *("--actor_num_gpus_per_node", "1", "--vllm_num_engines", "1", "--vllm_sync_backend", "gloo"),
        *("--rollout_batch_size", str(case.prompts), "--n_samples_per_prompt", str(case.samples)),
        *("--train_batch_size", str(batch), "--micro_train_batch_size", str(case.micro)),
        *("--micro_rollout_batch_size", str(case.micro), "--prompt_max_len", "128", "--init_kl_coef", "0"),
        *("--generate_max_len", str(case.completion), "--actor_learning_rate", "1e-6", *flags),
        *(("--bf16",) if case.bf16 else ()),
    ]
    command_line = [sys.executable, "-m", f"openrlhf.cli.{command}", *arguments]
    process = subprocess.Popen(
        command_line, env=environment(case), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = Peak("ray::PolicyWorker")
    output = process.communicate()[0]
    gib = peak.stop()
    if process.returncode:
        sys.exit(output[-3000:])
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][1:]
    parts = {name: median(row[f"time/{name}_s"] for row in steps) for name in ("generate", "train", "sync")}
    said = ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
    length = median(row["train/response_length"] for row in steps)
    return {"seconds": sum(parts.values()), "parts": f"{said}; {length:.0f} tokens each", "gib": gib}


def theirs(model: str, folder: Path, case: Case) -> dict:
    process = subprocess.run(
        [sys.executable, __file__, model, str(folder), json.dumps(vars(case))],
        env=environment(case), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if process.returncode:
        sys.exit(process.stderr[-3000:])
    return json.loads(process.stdout.splitlines()[-1])


def environment(case: Case) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "OpenRLHF"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": str(case.threads), "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}


class Peak:
    """Watches the largest resident memory of processes whose title begins so."""

    def __init__(self, title: str) -> None:
        self._title, self._most, self._ended = title, 0, threading.Event()
        self._known = set(self._processes())
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """GiB."""
        self._ended.set()
        self._thread.join()
        return self._most / 2**20

    def _processes(self) -> list[Path]:
        return [p for p in Path("/proc").glob("[0-9]*") if _read(p / "cmdline").startswith(self._title)]

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            for process in self._processes():
                if process not in self._known:
                    line = next((li for li in _read(process / "status").splitlines() if li.startswith("VmHWM")), "0 0")
                    self._most = max(self._most, int(line.split()[1]))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _toy_model(folder: Path) -> Path:
    """Random weights with the large vocabulary, and a tokenizer of words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=151_936, hidden_size=256, num_hidden_layers=2, intermediate_size=1024, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=512, bos_token_id=None,
        eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    words = {word: i for i, word in enumerate(["<unk>", "<end>", *dict.fromkeys(WORDS.split())])}
    words |= {f"w{i}": i for i in range(len(words), 151_936)}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<end>").save_pretrained(folder)
    return folder


def trl_step(model: str, folder: str, settings: str) -> None:
    """TRL's trainer in this process; prints seconds a step and this process's peak memory."""
    import contextlib
    import resource

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from datasets import Dataset

    case = Case(**json.loads(settings))
    torch.set_num_threads(case.threads)
    prompts = [{"prompt": row["input"]} for row in json.loads((Path(folder) / "prompts.json").read_text())]
    spec = importlib.util.spec_from_file_location("reward", Path(folder) / "reward.py")
    assert spec is not None
    assert spec.loader is not None
    reward = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reward)
    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *arguments: object, **more: object) -> None:
            ends.append(time.monotonic())

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16 if case.bf16 else torch.float32)
    network.generation_config.eos_token_id = None  # every response has the full length
    config = GRPOConfig(
        output_dir=str(Path(folder) / "trl"), use_cpu=True, bf16=case.bf16, report_to=[], disable_tqdm=True,
        per_device_train_batch_size=case.micro, gradient_accumulation_steps=case.prompts * case.samples // case.micro,
        num_generations=case.samples, max_completion_length=case.completion, max_steps=case.steps, save_strategy="no",
        beta=0.0, gradient_checkpointing=False, temperature=1.0, learning_rate=1e-6,
    )  # fmt: skip
    with contextlib.redirect_stdout(sys.stderr):
        trainer = GRPOTrainer(
            model=network,
            reward_funcs=lambda completions, **_: reward.reward_func(completions, None, None),
            args=config,
            train_dataset=Dataset.from_list(prompts),
            processing_class=AutoTokenizer.from_pretrained(model),
            callbacks=[Clock()],
        )
        trainer.train()
    seconds = median(after - before for before, after in itertools.pairwise(ends))
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "gib": gib, "parts": f"{case.completion} tokens each"}))


if __name__ == "__main__":
    trl_step(*sys.argv[1:])
