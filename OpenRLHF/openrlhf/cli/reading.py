"""What every command does with its configuration before it begins: rules, notes, and the file that starts it again."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from openrlhf.cli.arguments import Parsed, parse
from openrlhf.cli.keys import hide_key
from openrlhf.config.effects import ineffective_flags
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import values_of
from openrlhf.config.training import TrainConfig
from openrlhf.errors import UserError
from openrlhf.models.model_folder import check_model_folder
from openrlhf.trainer.run_folders import LOG_FOLDER
from openrlhf.utils.console import note, one_voice, say
from openrlhf.utils.signals import Stopped, ending_on_signals

Rules = Callable[[Any], tuple[Any, list[str]]]


def settled(parsed: Parsed, rules: Rules) -> tuple[Any, list[str]]:
    """The configuration after its rules, and notes worth printing."""
    config, notes = rules(parsed.config)
    return config, notes + ineffective_flags(config, parsed.given, parsed.methods, dense=_is_dense(parsed, config))


# Flags that name models, and whether their tokenizer is read.
_MODELS = {
    "pretrain": True,
    "critic_pretrain": False,
    "reward_pretrain": True,
    "ref_pretrain": False,
    "teacher_model": True,
    "model_path": True,
}


# These end in their own way: one answers what is in work, the other goes on after Ctrl-C.
_OWN_SIGNALS = ("serve_rm", "interactive_chat")


def check_models(config: Any) -> None:
    """UserError: a folder of a model that could not be loaded."""
    values = values_of(config)
    if isinstance(config, RLConfig) and config.reward.sources:
        values["reward_pretrain"] = None  # it is not loaded
    for flag in [name for name in _MODELS if name in values]:
        named = values[flag] or ""
        for path in [named] if Path(named).is_dir() else named.split(","):
            if path.strip():
                check_model_folder(path.strip(), flag, tokenizer=_MODELS[flag])


def run_command(
    command: str, argv: Sequence[str] | None, rules: Rules, begin: Callable[[Any, list[str], Parsed], None]
) -> int:
    """Exit status: 0 done, 2 something the user can mend, 143 ended by SIGTERM, 130 by SIGINT."""
    if argv is None:
        hide_key()
    try:
        with nullcontext() if command in _OWN_SIGNALS else ending_on_signals():
            parsed = parse(command, argv)
            config, notes = settled(parsed, rules)
            if not (isinstance(config, TrainConfig) and config.plan.plan_only):
                check_models(config)
            begin(config, notes, parsed)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as end:
        if os.environ.get("RANK", "0") == "0":
            print(f"ended by {end}", file=sys.stderr)
        return end.status
    return 0


@contextmanager
def one_voice_of(config: TrainConfig, parsed: Parsed, rank: int = 0) -> Iterator[None]:
    """What libraries print goes into a file of the run's own while the block lasts, unless -v was given."""
    log = Path(config.checkpoint.save_path) / LOG_FOLDER / ("output.log" if rank == 0 else f"output_rank{rank}.log")
    again = config.checkpoint.load_checkpoint
    with one_voice(log, quiet=parsed.quiet or rank > 0, verbose=parsed.verbose, append=again):
        try:
            yield
        except (UserError, Stopped):
            raise
        except BaseException:
            if not parsed.verbose:
                note(f"what libraries printed is in {log}.")
            raise


@contextmanager
def concluded(config: TrainConfig, command: str, started: float, begun: Callable[[], bool]) -> Iterator[None]:
    """Behind a run: its report, however it ended, and its last lines where it ended well.

    started: by `time.monotonic`. begun: whether it wrote anything of its own.
    """
    from openrlhf.view.closing import say_end, write_closing_report

    try:
        yield
    except BaseException:
        if begun() and (report := write_closing_report(config)):
            say(f"report: {report}", always=True)
        raise
    say_end(config, command, started, write_closing_report(config))


def _is_dense(parsed: Parsed, config: Any) -> bool:
    """Whether a balancing loss was asked for that the model has no experts for. UserError: no such model."""
    if "aux_loss_coef" not in parsed.given or not isinstance(config, TrainConfig) or config.model.aux_loss_coef <= 0:
        return False
    from openrlhf.models.loader import load_config  # torch: not for --help
    from openrlhf.models.moe import is_mixture_of_experts

    return not is_mixture_of_experts(load_config(str(config.model.pretrain)))
