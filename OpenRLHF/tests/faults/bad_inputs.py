"""Bad inputs as a user meets them, each a command that must end with status 2 and say in a few lines what to do.

python3 bad_inputs.py FOLDER [NAME…] runs them and prints, for each, status, seconds, CPU seconds, lines and the last
line.
"""

import json
import os
import resource
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
    """says: a part of the last line, so that no case passes for another reason. flags: added to those that `RL` and
    `SFT` need; all of them for other commands. prepare: what is wrong on disk. early: it needs no torch, so it takes a
    second."""

    fault: int
    name: str
    command: str
    says: str
    flags: tuple[str, ...] = ()
    prepare: Callable[[Path], object] = lambda folder: None
    early: bool = True


@dataclass(frozen=True)
class Answer:
    """seconds: by the clock. cpu: of the command and what it started."""

    status: int
    seconds: float
    cpu: float
    lines: tuple[str, ...]


def make_folder(folder: Path) -> None:
    """Everything that a run needs, and all of it right."""
    from toy_models import save_toy

    save_toy(folder / "model")
    rows = [{"problem": f"{a} + {b} =", "answer": str(a + b)} for a in range(4) for b in range(3)]
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "reward.py").write_text(REWARD)


def command_line(case: Case) -> list[str]:
    program = [sys.executable, "-m", f"openrlhf.cli.{case.command}"]
    if case.command not in (RL, SFT):
        return [*program, *case.flags]
    common = [*program, "--pretrain", "model", "--save_path", "out"]
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
    started, before = time.monotonic(), _cpu()
    done = subprocess.run(
        command_line(case), cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return Answer(done.returncode, time.monotonic() - started, _cpu() - before, tuple(lines))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


# What a flag is given, and what is said.
RL_FLAGS: dict[tuple[str, ...], str] = {
    ("--remote_rm_url", "reward.txt"): "neither a .py file, nor a URL",
    ("--remote_rm_url", "reward.py,http://localhost:1/"): "only URLs can be summed",
    ("--use_ms",): "download there",
    ("--attn_implementation", "flash_attention_2", "--bf16"): "needs the package flash-attn",
    ("--ring_attn_size", "2", "--packing_samples", "--torch_compile"): "remove one",
    ("--load_in_4bit",): "add --lora_rank",
    ("--adam_betas", "1", "0.9"): "--adam_betas (1.0, 0.9) is out of range",
    ("--prompt_max_len", "4000"): "more than the model's 512",
    ("--intro_answer_template", "Answer:"): "has no {answer}",
    ("--learning_rat", "1"): "did you mean --actor_learning_rate?",
    ("--train_batch_size", "many"): "invalid integer value: 'many'",
    ("--advantage_estimator", "grop"): "choose from 'intro', 'gae'",
    ("--zero_stage", "4"): "at least 0 and at most 3",
    ("--method", "none.py"): "there is no such file",
    ("--config", "none.yaml"): "cannot be read",
    ("--temperature", "0"): "makes all --n_samples_per_prompt 2 responses equal",
    ("--actor_learning_rate", "nan"): "--actor_learning_rate nan is out of range",
    ("--init_kl_coef", "-1"): "--init_kl_coef -1.0 is out of range",
    ("--advantage_estimator", "group_norm", "--n_samples_per_prompt", "1"): "needs several responses",
    ("--eval_dataset", "none.jsonl"): "none.jsonl: there is no such file",
    ("--on_anomaly", "panic"): "choose from 'warn', 'skip', 'stop', 'rollback'",
    ("--rollout_engine", "sglang"): "choose from 'auto', 'vllm', 'hf'",
    ("--top_p", "2"): "more than 0 and at most 1",
    ("--lora_rank", "-1"): "--lora_rank -1 is out of range",
    ("--advantage_estimator", "gae"): "change --critic_num_gpus_per_node",
    ("--use_wandb",): "expected one argument",
    ("--prompt_data", "rows.json,rows.json", "--prompt_data_probs", "1"): "need 2 positive probabilities",
    ("--reward_policy", "none", "--remote_rm_url", "math"): "choose from 'math', 'word_problem', 'choice'",
    ("--label_key", "solution"): "choose --label_key among the fields found",
}
SFT_FLAGS: dict[tuple[str, ...], str] = {
    ("--max_epochs", "many"): "invalid integer value: 'many'",
    ("--load_in_4bit",): "add --lora_rank",
    ("--dataset", "rows.json,rows.json", "--dataset_probs", "1"): "need 2 positive probabilities",
    ("--multiturn",): "--multiturn needs --apply_chat_template",
    ("--max_len", "0"): "--max_len 0 is out of range",
    ("--use_ms",): "download there",
    ("--config", "none.yaml"): "cannot be read",
    ("--learning_rte", "1"): "did you mean --learning_rate?",
}
_TRAIN = ("--pretrain", "model", "--save_path", "out", "--dataset")
_INFER = ("--pretrain", "model", "--eval_task", "generate", "--output_path")
OTHERS: list[tuple[str, tuple[str, ...], str]] = [
    ("train_dpo", (*_TRAIN, "none.json"), "none.json: there is no such file"),
    ("train_kto", (*_TRAIN, "rows.json"), "nothing says where the responses are"),
    ("train_kd", (*_TRAIN, "rows.json"), "--teacher_model is missing"),
    ("train_prm", (*_TRAIN, "rows.json"), "--placeholder_token is missing"),
    ("batch_inference", ("--pretrain", "model", "--dataset", "rows.json"), "choose one of generate, generate_vllm, rm"),
    ("batch_inference", (*_INFER, "model", "--dataset", "rows.json"), "--output_path model is a folder"),
    ("batch_inference", (*_INFER, "o.jsonl"), "--dataset is missing"),
    ("serve_rm", (), "--reward_pretrain is missing"),
    ("serve_rm", ("--reward_pretrain", "model", "--host", "0.0.0.0"), "can be reached from other machines"),
    ("serve_rm", ("--reward_pretrain", "model", "--port", "99999"), "--port 99999 is out of range"),
    ("serve_rm", ("--reward_pretrain", "model", "--api_key_file", "none"), "--api_key_file none cannot be read"),
    ("interactive_chat", (), "--pretrain is missing"),
    ("interactive_chat", ("--pretrain", "model", "--ta_prompt", "none.txt"), "--ta_prompt none.txt"),
    ("lora_combiner", ("--model_path", "model", "--lora_path", "model", "--output_path", "model"), "is what is read"),
    ("math_eval", ("--model_name_or_path", "model", "--data_names", ""), "--data_names names no set"),
    ("grade_answers", (), "--input, --output"),
    ("grade_answers", ("--input", "none.jsonl", "--output", "o.jsonl"), "'none.jsonl' is no file"),
    ("grade_answers", ("--input", "rows.json", "--output", "no/o.jsonl"), "does not exist; create it first"),
]


def cases() -> Iterator[Case]:
    for command, table in ((RL, RL_FLAGS), (SFT, SFT_FLAGS)):
        for flags, says in table.items():
            yield Case(14, f"{command}: {' '.join(flags)}", command, says, flags)
    for command, flags, says in OTHERS:
        yield Case(14, f"{command}: {' '.join(flags)}", command, says, flags)
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
    bad, answers = 0, []
    for case in cases():
        if chosen and not any(word in case.name for word in chosen):
            continue
        found = answer(case, folder / "whole", folder / "run")
        last = found.lines[-1] if found.lines else ""
        wrong = found.status != 2 or len(found.lines) > 3 or case.says not in last
        bad += wrong
        answers.append(found)
        times = f"{found.seconds:.1f} s\t{found.cpu:.1f} s"
        figures = f"{case.fault}\t{case.name}\t{found.status}\t{times}\t{len(found.lines)}"
        print(f"{'WRONG' if wrong else 'right'}\t{figures}\t{last}", flush=True)
    within = {name: sum(getattr(a, name) <= 3 for a in answers) for name in ("seconds", "cpu")}
    print(f"{len(answers)} bad inputs, {bad} of them answered wrongly; within 3 s: {within['seconds']} by the clock,")
    print(f"{within['cpu']} by CPU time; at most {max(len(a.lines) for a in answers)} lines")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
