"""Whether a run may continue from a checkpoint: both configurations, compared flag by flag before anything loads."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from openrlhf.config.method import MethodConfig
from openrlhf.config.reinforcement import EngineConfig, EvaluationConfig, PlacementConfig
from openrlhf.config.settings import flags_of, values_of
from openrlhf.config.training import CheckpointConfig, LoggingConfig, PlanConfig, TrainConfig
from openrlhf.errors import UserError
from openrlhf.trainer.checkpoint import Record, Saved, find_saved
from openrlhf.trainer.state import OfflineState, TrainerState
from openrlhf.utils.console import note

S = TypeVar("S", bound=TrainerState | OfflineState)

# What may differ: it changes how the same numbers are computed, or which of them are written down.
_FREE_SECTIONS = (LoggingConfig, CheckpointConfig, PlanConfig, EvaluationConfig, EngineConfig, PlacementConfig)
_FREE = (
    "micro_train_batch_size micro_rollout_batch_size max_tokens_per_micro_batch"
    " gradient_checkpointing gradient_checkpointing_use_reentrant"
    " score_chunk_size attn_implementation flash_attn use_liger_kernel torch_compile packing_samples no_pack_samples"
    " ring_attn_size ring_head_stride local_rank zero_stage overlap_comm adam_offload zpg full_determinism use_ms"
    " save_rollouts reward_workers reward_timeout max_reward_failures on_anomaly hinted_eval_steps hinted_eval_prompts"
)


_UNSAID = ["load_checkpoint", "wandb_run_name", "max_restarts"]


@dataclass(frozen=True)
class Start(Generic[S]):
    """Where a run begins. tag: the checkpoint to load; None at the very beginning. notes: worth printing."""

    state: S
    tag: str | None = None
    notes: tuple[str, ...] = ()


def start_of(config: TrainConfig, fresh: S, parents: Sequence[Path], ranks: int) -> Start[S]:
    """The newest usable checkpoint with --load_checkpoint, else the beginning. `fresh.run` is kept in any case.

    parents: the folders of checkpoints, as in `find_saved`. ranks: those that will train.

    Raises:
        UserError: no checkpoint can be used, or it is of a run with other settings.
    """
    if not config.checkpoint.load_checkpoint:
        return Start(fresh)
    saved: Saved[S] | None = find_saved(parents, type(fresh))
    if saved is None:
        return Start(fresh, notes=(f"no checkpoint in {parents[0]}: starting anew.",))
    where: Path = parents[0] / saved.tag
    notes = [*saved.notes, *check_continued(saved.record, config, ranks, where), f"Continuing from {where}."]
    saved.state.run = fresh.run
    return Start(saved.state, saved.tag, tuple(notes))


@contextmanager
def hinting_at_checkpoints(config: TrainConfig) -> Iterator[None]:
    """Says how to go on, where a run ends before its end and has checkpoints."""
    try:
        yield
    except BaseException:
        parent = Path(config.checkpoint.ckpt_path)
        latest = next((f for f in (parent / "_actor" / "latest", parent / "latest") if f.is_file()), None)
        if latest is not None:
            tag = latest.read_text(encoding="utf-8", errors="replace").strip()
            note(f"the same command with --load_checkpoint continues from {tag}.")
        raise


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """By flag, as a checkpoint keeps them: JSON values, files by their whole path, no secrets."""
    kinds: list[Any] = [type(config)]
    method = getattr(config, "method", None)
    found = values_of(config)
    if isinstance(method, MethodConfig):
        kinds.append(type(method))
        found["advantage_estimator"] = method.name
    secret = {flag.name for kind in kinds for _, flag in flags_of(kind) if flag.secret}
    return {name: _stored(value) for name, value in found.items() if name not in secret}


def check_continued(record: Record, config: TrainConfig, ranks: int, where: Path) -> list[str]:
    """Notes about differences that leave the result as it is. ranks: those that will train.

    Raises:
        UserError: a difference that would make another run of this one, with both values.
    """
    then, now = record.settings, settings_of(config)
    changed = {name: (then[name], now[name]) for name in then.keys() & now.keys() if then[name] != now[name]}
    free = {flag.name for kind in _FREE_SECTIONS for _, flag in flags_of(kind)} | {*_FREE.split()}
    if refused := _described({name: values for name, values in changed.items() if name not in free}):
        raise UserError(
            f"the checkpoint {where} cannot be continued with {', '.join(refused)}: give what it had, or start anew in"
            " another --ckpt_path"
        )
    noted = _described({name: values for name, values in changed.items() if name in free and name not in _UNSAID})
    if record.ranks != ranks:
        noted.insert(0, f"{ranks} rank(s) (it was written by {record.ranks})")
    return [f"continued with other settings than before: {', '.join(noted)}."] if noted else []


def _described(changed: Mapping[str, tuple[Any, Any]]) -> list[str]:
    return [f"--{name} {_shown(now)} (it had {_shown(then)})" for name, (then, now) in sorted(changed.items())]


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _stored(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str) and value and os.path.exists(value):
        return os.path.realpath(value)
    return value
