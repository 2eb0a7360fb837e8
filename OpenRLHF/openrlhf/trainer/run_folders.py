"""A run's folders: tried before anything loads, locked while it lasts, and never mixed with those of another run."""

import fcntl
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from openrlhf.config.training import TrainConfig
from openrlhf.errors import UserError
from openrlhf.trainer.checkpoint import checkpoints_in

OWNER_FILE = ".run.json"
SAMPLES_FILE = "samples.jsonl"
REPORT_FILE = "report.html"
LOG_FOLDER = "log"
PLAN_FILE = f"{LOG_FOLDER}/plan.txt"
NOTES_FILE = f"{LOG_FOLDER}/notes.jsonl"


@dataclass(frozen=True)
class RunFolders:
    """run: an identity, which the run's checkpoints carry; that of the run which is continued. replaced: folders whose
    checkpoints go."""

    run: str = ""
    replaced: tuple[Path, ...] = ()

    def begin(self) -> None:
        """Removes what --overwrite replaces, once nothing can be refused any more; the log empties its own files."""
        for parent in self.replaced:
            (parent / "latest").unlink(missing_ok=True)
            for folder in checkpoints_in(parent):
                shutil.rmtree(folder, ignore_errors=True)


def metrics_file(config: TrainConfig) -> Path:
    return Path(config.logging.metrics_path or Path(config.checkpoint.save_path) / "metrics.jsonl")


@contextmanager
def claimed(config: TrainConfig) -> Iterator[RunFolders]:
    """The run's folders, its own while the block lasts. Costs milliseconds, so it comes before everything else.

    Raises:
        UserError: a folder that cannot be written, that a living run uses, or that an earlier one left its results
        in, unless the flags say what shall become of them.
    """
    settings = config.checkpoint
    if settings.load_checkpoint and settings.overwrite:
        raise UserError("--load_checkpoint continues a run and --overwrite replaces it: remove one of them")
    checkpointed = settings.save_steps > 0 or settings.load_checkpoint or settings.save_on_signal
    folders = {"save_path": Path(settings.save_path), "metrics_path": metrics_file(config).parent}
    if checkpointed:
        folders["ckpt_path"] = Path(settings.ckpt_path)
    if config.logging.use_tensorboard:
        _try_out("use_tensorboard", Path(config.logging.use_tensorboard))
    with ExitStack() as kept:
        owners: dict[Path, TextIO] = {}
        for flag, folder in folders.items():
            made = not folder.exists()
            _try_out(flag, folder)
            if folder.resolve() not in owners:
                owners[folder.resolve()] = kept.enter_context(_locked(flag, folder))
                kept.callback(_remove_if_unused, folder, made=made)
        parent = Path(settings.ckpt_path)
        places = (parent, parent / "_actor", parent / "_critic") if checkpointed else ()
        run = _identity(owners, folders, any(map(checkpoints_in, places)), config)
        mine = {"run": run, "host": socket.gethostname(), "pid": os.getpid(), "started": time.time()}
        for file in owners.values():
            _write_over(file, json.dumps(mine))
        yield RunFolders(run, places if settings.overwrite else ())


def check_space(config: TrainConfig, parameters: int) -> None:
    """UserError unless the disks have room for the model and for two checkpoints, of which one goes when the other is
    complete. An estimate: DeepSpeed keeps a float32 copy of bf16 weights, and two moments of each that is trained."""
    model, settings = config.model, config.checkpoint
    weights = parameters * (2 if model.bf16 else 4)
    moments = parameters * (12 if model.bf16 else 8) if model.lora.lora_rank == 0 else 0
    needed: dict[int, float] = {}
    named: dict[int, list[str]] = {}
    wanted = [("save_path", settings.save_path, weights)]
    if settings.save_steps > 0:
        kept = (0 if settings.disable_ds_ckpt else weights + moments) + (weights if settings.save_hf_ckpt else 0)
        wanted.append(("ckpt_path", settings.ckpt_path, 2 * kept))
    for flag, path, size in wanted:
        place = next(folder for folder in (Path(path).absolute(), *Path(path).absolute().parents) if folder.exists())
        device = place.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        named.setdefault(device, []).append(f"--{flag} {path}")
        free = shutil.disk_usage(place).free
        if needed[device] > free:
            raise UserError(
                f"{' and '.join(named[device])}: about {needed[device] / 1e9:.1f} GB are needed for the model and two"
                f" checkpoints, {free / 1e9:.1f} GB are free there: make room, or choose another disk"
            )


def _identity(owners: dict[Path, TextIO], folders: dict[str, Path], has_checkpoints: bool, config: TrainConfig) -> str:
    """A new one, or that of the run whose checkpoints are continued. UserError: see `claimed`."""
    if config.checkpoint.overwrite:
        return uuid.uuid4().hex
    said = {flag: _read(owners[folder.resolve()]).get("run") for flag, folder in folders.items()}
    continued = said.get("ckpt_path") if config.checkpoint.load_checkpoint and has_checkpoints else None
    results = _results(config)
    if has_checkpoints and not config.checkpoint.load_checkpoint:
        _refuse("ckpt_path", folders["ckpt_path"], "checkpoints")
    for flag, what in results.items():
        mine = config.checkpoint.load_checkpoint and said[flag] in (None, said.get("ckpt_path"))
        if not mine:
            _refuse(flag, folders[flag], what, continues=not config.checkpoint.load_checkpoint)
    return continued or uuid.uuid4().hex


def _results(config: TrainConfig) -> dict[str, str]:
    """What a finished or broken run left, by flag."""
    found = {}
    metrics, folder = metrics_file(config), Path(config.checkpoint.save_path)
    if any(file.is_file() and file.stat().st_size for file in (metrics, metrics.with_name(SAMPLES_FILE))):
        found["metrics_path" if config.logging.metrics_path else "save_path"] = "the metrics"
    if (folder / "config.json").is_file():
        found["save_path"] = "the model"
    return found


def _refuse(flag: str, folder: Path, what: str, *, continues: bool = True) -> None:
    advice = "--load_checkpoint continues it, " if continues else ""
    raise UserError(
        f"--{flag} {folder} holds {what} of another run: {advice}--overwrite replaces it, or choose another folder"
    )


def _try_out(flag: str, folder: Path) -> None:
    """Creates, writes and renames, as the run will when it is too late to mend anything."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("probe")
        os.replace(probe, probe.with_suffix(".renamed"))
        probe.with_suffix(".renamed").unlink()
    except OSError as error:
        probe.unlink(missing_ok=True) if folder.is_dir() else None
        raise UserError(f"--{flag} {folder} cannot be written ({error.strerror}): choose a folder that can") from None


@contextmanager
def _locked(flag: str, folder: Path) -> Iterator[TextIO]:
    """The folder's owner file, locked; the system lets go of the lock whatever ends this process."""
    while True:
        descriptor = os.open(folder / OWNER_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _read(file)
                raise UserError(
                    f"--{flag} {folder} is in use by process {owner.get('pid', '?')} on {owner.get('host', '?')}: wait"
                    " until it ends, or choose another folder"
                ) from None
            except OSError:
                pass  # a file system without locks
            if not _is(file, folder / OWNER_FILE):
                continue  # its last owner removed it meanwhile
            yield file
            return


def _is(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove_if_unused(folder: Path, *, made: bool) -> None:
    """A run that was refused leaves no folder behind."""
    if made and folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {OWNER_FILE, LOG_FOLDER}:
        shutil.rmtree(folder / LOG_FOLDER, ignore_errors=True)
        (folder / OWNER_FILE).unlink(missing_ok=True)
        folder.rmdir()


def _read(file: TextIO) -> dict[str, Any]:
    file.seek(0)
    try:
        found = json.loads(file.read())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write_over(file: TextIO, text: str) -> None:
    """In place: the lock belongs to the file, not to its name."""
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
