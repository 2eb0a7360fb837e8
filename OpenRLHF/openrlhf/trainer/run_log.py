"""Where a run's figures go: metrics.jsonl, TensorBoard, wandb (any combination), samples, and the terminal."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml
from tqdm import tqdm

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import as_tree
from openrlhf.config.training import LoggingConfig, TrainConfig
from openrlhf.errors import UserError
from openrlhf.experience.rollout import Rollout
from openrlhf.trainer.rollout_files import FOLDER, RolloutWriter, origin_of
from openrlhf.trainer.run_folders import NOTES_FILE, SAMPLES_FILE, metrics_file
from openrlhf.utils import console
from openrlhf.utils.atomic import write_atomically

COLUMNS = 100


class RunLog:
    """Appends: a continued run goes on in the same files, once `truncate_to` dropped what lies after its checkpoint."""

    def __init__(self, config: TrainConfig, rollouts: RolloutWriter | None = None) -> None:
        """rollouts: keeps all of them, not only samples."""
        logging = config.logging
        self.path = metrics_file(config)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._samples = self.path.with_name(SAMPLES_FILE)
        self._notes = Path(config.checkpoint.save_path) / NOTES_FILE
        self._rollouts = rollouts
        self._tensorboard = _open_tensorboard(logging)
        self._wandb = _open_wandb(config)
        if self._tensorboard is not None:
            settings = yaml.safe_dump(as_tree(config), sort_keys=False, allow_unicode=True)
            self._tensorboard.add_text("configuration", _verbatim(settings))

    def truncate_to(self, step: int) -> None:
        """Drops rows after `step`, which a killed run wrote and a continued one will write again, and broken ones."""
        for path in (self.path, self._samples, self._notes):
            if path.is_file():
                rows = path.read_text(encoding="utf-8", errors="replace").split("\n")
                kept = [row for row in rows if -1 < _step_of(row) <= step]
                write_atomically(path, "".join(row + "\n" for row in kept))
        if self._rollouts is not None:
            self._rollouts.truncate_to(step)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """values: full names, e.g. train/accuracy; one definition each, see docs/metrics.md."""
        with self.path.open("a", encoding="utf-8") as out:
            # JSON has no NaN and no infinity: such a figure is null.
            numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
            out.write(json.dumps({"step": step, "time": time.time(), **numbers}, allow_nan=False) + "\n")
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)
            self._tensorboard.flush()
        if self._wandb is not None:
            self._wandb.log({**values, "train/global_step": step})

    def rollouts(self, step: int, rollouts: Sequence[Rollout], kept: int) -> None:
        """Keeps the first `kept` rationales for reading, and all of them where that was asked for."""
        if self._rollouts is not None:
            self._rollouts.write(step, rollouts)
        with self._samples.open("a", encoding="utf-8") as out:
            for rollout in rollouts[:kept]:
                row = {
                    "step": step,
                    "prompt": rollout.prompt.text,
                    "answer": rollout.prompt.label,
                    "response": rollout.text,
                    "reward": rollout.reward if math.isfinite(rollout.reward) else None,
                    "finish_reason": rollout.finish_reason,
                    "tokens": len(rollout.token_ids),
                }
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
        if self._tensorboard is not None:
            for number, rollout in enumerate(rollouts[:kept]):
                text = f"{rollout.prompt.text}\n\n{rollout.text}\n\nreward {rollout.reward:g}"
                self._tensorboard.add_text(f"rationales/{number}", _verbatim(text), step)

    def close(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish()


def _verbatim(text: str) -> str:
    """As Markdown that shows it as it is."""
    return "".join(f"    {line}\n" for line in text.splitlines())


def rl_log(config: RLConfig, tokenizer: Any, run: str) -> RunLog:
    """With a writer of all rollouts under --save_rollouts. run: the run's identity."""
    if not config.rollout.save_rollouts:
        return RunLog(config)
    origin = origin_of(str(config.model.pretrain), tokenizer, run)
    return RunLog(config, RolloutWriter(Path(config.checkpoint.save_path) / FOLDER, origin))


def _step_of(row: str) -> int:
    """-1 for what is no row, such as a line whose writer was killed."""
    try:
        found = json.loads(row)["step"]
    except (ValueError, TypeError, KeyError):
        return -1
    return found if isinstance(found, int) else -1


def _open_tensorboard(logging: LoggingConfig) -> Any:
    if not logging.use_tensorboard:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(log_dir=str(Path(logging.use_tensorboard) / logging.wandb_run_name))


def _open_wandb(config: TrainConfig) -> Any:
    logging = config.logging
    if not logging.use_wandb:
        return None
    try:
        import wandb
    except ImportError:
        raise UserError("--use_wandb needs the package wandb: pip install -e '.[wandb]', or leave it out") from None
    if logging.use_wandb.lower() not in ("true", "1", "offline"):
        wandb.login(key=logging.use_wandb)
    mode = "offline" if logging.use_wandb.lower() == "offline" else None
    return wandb.init(
        entity=logging.wandb_org,
        project=logging.wandb_project,
        group=logging.wandb_group,
        name=logging.wandb_run_name,
        config=as_tree(config),
        mode=mode,
    )


class Progress:
    """A bar with the current phase on a terminal; a line per step where the output is a file or a job's log."""

    def __init__(self, total: int, done: int, *, quiet: bool = False, out: TextIO | None = None) -> None:
        self._out = out or console.err()
        self._quiet = quiet or console.is_quiet()
        self._live = self._out.isatty() and not self._quiet
        self._bar = tqdm(
            total=total, initial=done, unit="step", file=self._out, disable=not self._live, dynamic_ncols=True
        )
        self._total, self._done, self._first = total, done, done
        self._start = time.monotonic()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Shows the phase while it lasts and measures it."""
        self._bar.set_description(name)
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def detail(self, text: str) -> None:
        self._bar.set_postfix_str(text)

    def step(self, summary: str, every: int = 1) -> dict[str, float]:
        """Ends a step; returns the seconds of each of its phases. Without a terminal, prints every `every` steps."""
        self._done += 1
        self._bar.set_postfix_str(summary, refresh=False)
        self._bar.update(1)
        if not self._live and not self._quiet and self._done % max(every, 1) == 0:
            elapsed = time.monotonic() - self._start
            left = elapsed / (self._done - self._first) * (self._total - self._done)
            print(step_line(self._done, self._total, summary, self.seconds, left), file=self._out, flush=True)
        seconds, self.seconds = self.seconds, {}
        return seconds

    def close(self) -> None:
        self._bar.close()


def step_line(step: int, total: int, summary: str, seconds: Mapping[str, float], left: float) -> str:
    """One line of at most 100 columns: what does not fit goes, short phases first, then the summary from its end."""
    whole = sum(seconds.values()) or 1.0
    phases = sorted(seconds.items(), key=lambda pair: pair[1], reverse=True)
    phases = [(name, value) for number, (name, value) in enumerate(phases) if not number or value > 0.05 * whole]
    parts = summary.split(", ")
    head, tail = f"step {step}/{total} | ", f" | {tqdm.format_interval(left)} left"
    while True:
        line = head + ", ".join(parts) + " | " + " ".join(f"{name} {value:.1f}s" for name, value in phases) + tail
        if len(line) <= COLUMNS or (len(phases) == 1 and len(parts) == 1):
            return line[:COLUMNS]
        if len(phases) > 1:
            phases.pop()
        else:
            parts.pop()


def is_due(step: int, every: int) -> bool:
    """Whether something that is done every so many steps is done after this one; 0 or less: never."""
    return every > 0 and step % every == 0
