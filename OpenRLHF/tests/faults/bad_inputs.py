"""Bad inputs as a user meets them, each a command that must end with status 2 and say in a few lines what to do.

python3 bad_inputs.py FOLDER [NAME…] runs them and prints, for each, status, seconds, lines and the last line.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

RL, SFT = "train_ppo_ray_intro", "train_sft"
REWARD = "def reward_func(queries, prompts, labels):\n    return [1.0] * len(queries)\n"


@dataclass(frozen=True)
class Case:
    """says: a part of the last line, so that no case passes for another reason. prepare: what is wrong on disk. early:
    it needs no torch, so it takes a second."""

    fault: int
    name: str
    command: str
    says: str
    flags: tuple[str, ...] = ()
    prepare: Callable[[Path], object] = lambda folder: None
    early: bool = True


@dataclass(frozen=True)
class Answer:
    status: int
    seconds: float
    lines: tuple[str, ...]


def make_folder(folder: Path) -> None:
    """Everything that a run needs, and all of it right."""
    from toy_models import save_toy

    save_toy(folder / "model")
    rows = [{"problem": f"{a} + {b} =", "answer": str(a + b)} for a in range(4) for b in range(3)]
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "reward.py").write_text(REWARD)


def command_line(case: Case) -> list[str]:
    common = [sys.executable, "-m", f"openrlhf.cli.{case.command}", "--pretrain", "model", "--save_path", "out"]
    common += ["--ckpt_path", "ckpt", "--save_steps", "1", "--input_key", "problem", "--train_batch_size", "4"]
    if case.command == SFT:
        return [*common, "--dataset", "rows.json", "--output_key", "answer", *case.flags]
    rl = ["--prompt_data", "rows.json", "--label_key", "answer", "--remote_rm_url", "reward.py"]
    rl += ["--rollout_batch_size", "4", "--actor_num_gpus_per_node", "1", "--prompt_max_len", "32"]
    rl += ["--n_samples_per_prompt", "2"]
    return [*common, *rl, "--generate_max_len", "16", *case.flags]


def answer(case: Case, whole: Path, folder: Path) -> Answer:
    """Runs the command in a copy of `whole`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    case.prepare(folder)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "RAY_ADDRESS": "",
        "HF_HUB_OFFLINE": "1",
        "DS_ACCELERATOR_LOG_LEVEL": "ERROR",
    }
    started = time.monotonic()
    done = subprocess.run(
        command_line(case), cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return Answer(done.returncode, time.monotonic() - started, tuple(lines))


def write(name: str, text: str) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode("utf-8", errors="surrogateescape"))

    return prepare


def rows(*made: object) -> Callable[[Path], object]:
    return write("rows.json", json.dumps(list(made)))


def config(**changed: object) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        file = folder / "model" / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))

    return prepare


def cut(folder: Path) -> None:
    file = folder / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def without(*names: str) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return prepare


def checkpoint(**changed: object) -> Callable[[Path], object]:
    """One of step 1, by a run with the present settings but for `changed`."""

    def prepare(folder: Path) -> None:
        from openrlhf.cli.arguments import parse
        from openrlhf.config.rules import rl_rules
        from openrlhf.trainer.checkpoint import Record
        from openrlhf.trainer.resuming import settings_of

        here = Path.cwd()
        os.chdir(folder)
        try:
            config, _ = rl_rules(parse(RL, command_line(Case(0, "", RL, ""))[3:]).config)
            settings = {**settings_of(config), **changed}
        finally:
            os.chdir(here)
        made = folder / "ckpt" / "_actor" / "global_step1"
        made.mkdir(parents=True)
        Record("run", {"step": 1, "sampler": {}}, settings, int(str(changed.get("ranks", 1)))).write(made)
        (made.parent / "latest").write_text("global_step1")

    return prepare


def broken_state(text: str) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        checkpoint()(folder)
        write("ckpt/_actor/global_step1/trainer_state.json", text)(folder)

    return prepare


def message(content: object) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        file = folder / "model" / "tokenizer_config.json"
        template = "{% for m in messages %}{{ m.content }}{% endfor %}"
        file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))
        rows({"problem": [{"role": "user", "content": content}], "answer": "1"})(folder)

    return prepare


def added_token(folder: Path) -> None:
    file = folder / "model" / "tokenizer.json"
    stored = json.loads(file.read_text())
    stored["added_tokens"].append({**stored["added_tokens"][0], "id": 258, "content": "<|new|>"})
    file.write_text(json.dumps(stored))


HEAD = "def reward_func(queries, prompts, labels):\n"
RESUME = ("--load_checkpoint",)
CHAT = ("--apply_chat_template",)
FUNCTIONS = {
    "raises": (HEAD + "    return [1 / 0]", "ZeroDivisionError: division by zero (reward.py, line 2)"),
    "a dictionary": (HEAD + "    return {}", "returned a dict"),
    "lists": (HEAD + "    return [[1.0]] * len(queries)", "returned [1.0] as value 0"),
    "too few": (HEAD + "    return [1.0]", "returned 1 values for 2 queries"),
    "None": (HEAD + "    pass", "returned a NoneType"),
    "texts": (HEAD + "    return ['1'] * len(queries)", "returned '1' as value 0"),
    "a missing import": ("import nowhere\n" + HEAD + "    return [1.0]", "No module named 'nowhere'"),
    "one parameter": ("def reward_func(queries):\n    return [1.0]", "cannot be called as"),
    "a column that is not there": (
        "def reward_func(queries, prompts, labels, level):\n    return level",
        "requires level",
    ),
}
STATES = {"empty": "", "cut": '{"run": "a", "st', "a list": "[]", "a wrong type": '{"run": "", "state": {"step": "1"}}'}
OLD: dict[str, dict[str, object]] = {
    "train_batch_size": {"train_batch_size": 8},
    "actor_learning_rate": {"actor_learning_rate": 1e-3},
    "lora_rank": {"lora_rank": 8},
    "pretrain": {"pretrain": "/elsewhere"},
    "advantage_estimator": {"advantage_estimator": "rloo"},
}


def cases() -> Iterator[Case]:
    for command in (RL, SFT):
        yield from _of_folders_and_models(command)
        yield from _of_data(command)
    nan = write("rows.json", '[{"problem": "a", "answer": NaN}]')
    yield Case(14, "NaN as a gold answer", RL, "label in field 'answer' is nan", (), nan)
    empty = rows({"problem": "a", "answer": ""})
    flags = ("--remote_rm_url", "math", "--advantage_estimator", "rloo")
    yield Case(14, "no gold answers for math", RL, "no prompt has one", flags, empty, early=False)
    yield Case(3, "a syntax error", RL, "line 2: '[' was never closed", (), write("reward.py", HEAD + "    return ["))
    yield Case(3, "no function", RL, "defines no reward_func", (), write("reward.py", "reward = 1"))
    yield Case(3, "no file", RL, "No such file", ("--remote_rm_url", "none.py"))
    for name, (source, says) in FUNCTIONS.items():
        yield Case(3, f"reward: {name}", RL, says, (), write("reward.py", source), early=False)
    for name, changed in OLD.items():
        yield Case(6, f"continued with another {name}", RL, f"--{name} ", RESUME, checkpoint(**changed))
    for name, text in STATES.items():
        says = "No other checkpoint is left"
        yield Case(8, f"state: {name}", RL, says, RESUME, broken_state(text))


def _of_folders_and_models(command: str) -> Iterator[Case]:
    old = "ckpt/_actor/global_step9/x" if command == RL else "ckpt/global_step9/x"
    yield Case(1, f"{command}: used checkpoints", command, "checkpoints of another run", (), write(old, ""))
    metrics = write("out/metrics.jsonl", '{"step": 1}\n')
    yield Case(1, f"{command}: used metrics", command, "metrics of another run", (), metrics)
    under = ("--save_path", "rows.json/out")
    yield Case(2, f"{command}: save_path under a file", command, "--save_path rows.json/out cannot be written", under)
    yield Case(2, f"{command}: ckpt_path is a file", command, "--ckpt_path", ("--ckpt_path", "rows.json"))
    yield Case(7, f"{command}: cut weights", command, "bytes instead of", (), cut)
    yield Case(7, f"{command}: no weights", command, "no weights", (), without("model/model.safetensors"))
    yield Case(7, f"{command}: other width", command, "config.json says [258, 128]", (), config(hidden_size=128))
    yield Case(7, f"{command}: other vocabulary", command, "config.json says [300, 64]", (), config(vocab_size=300))
    yield Case(7, f"{command}: more layers", command, "says 9", (), config(num_hidden_layers=9))
    yield Case(7, f"{command}: an added token beyond", command, "embedding ends at 257", (), added_token)
    tokenizer = without("model/tokenizer.json", "model/tokenizer_config.json")
    yield Case(14, f"{command}: no tokenizer", command, "there is no tokenizer", (), tokenizer)
    yield Case(7, f"{command}: no such model", command, "no such folder", ("--pretrain", "./none"))
    broken = write("model/config.json", "{")
    yield Case(7, f"{command}: broken config.json", command, "config.json cannot be read", (), broken)
    yield Case(14, f"{command}: a number out of range", command, "out of range", ("--train_batch_size", "0"))
    both = ("--load_checkpoint", "--overwrite")
    yield Case(14, f"{command}: two opposites", command, "remove one of them", both)


def _of_data(command: str) -> Iterator[Case]:
    for name, content in {"null": None, "an image": [{"type": "image"}], "a number": 1}.items():
        says = "row 0: field 'problem', message 0"
        yield Case(4, f"{command}: content {name}", command, says, CHAT, message(content), early=command == RL)
    yield Case(
        14, f"{command}: no such field", command, "fields found: problem", ("--input_key", "x"), early=command == RL
    )
    wrong = {
        "broken rows": ('[{"problem": "a"', "not JSON"),
        "rows that are no UTF-8": ("\udcff", "not UTF-8"),
        "no rows": ("[]", "no rows"),
        "a row that is a list": ("[[1]]", "element 0: expected an object"),
    }
    for name, (text, says) in wrong.items():
        yield Case(14, f"{command}: {name}", command, says, (), write("rows.json", text))
    data = "--prompt_data" if command == RL else "--dataset"
    yield Case(14, f"{command}: no such data", command, "no such file", (data, "none.json"))


def main(argv: list[str]) -> int:
    folder, chosen = Path(argv[0]), argv[1:]
    make_folder(folder / "whole")
    bad = 0
    for case in cases():
        if chosen and not any(word in case.name for word in chosen):
            continue
        found = answer(case, folder / "whole", folder / "run")
        last = found.lines[-1] if found.lines else ""
        wrong = found.status != 2 or len(found.lines) > 3 or case.says not in last
        bad += wrong
        figures = f"{case.fault}\t{case.name}\t{found.status}\t{found.seconds:.1f} s\t{len(found.lines)}"
        print(f"{'WRONG' if wrong else 'right'}\t{figures}\t{last}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
