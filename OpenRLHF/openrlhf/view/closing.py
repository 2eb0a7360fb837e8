"""The last lines of a run: what happened, where the files are, what to do next; and its report."""

import time
from pathlib import Path

from openrlhf.config.training import TrainConfig
from openrlhf.trainer.run_folders import LOG_FOLDER, REPORT_FILE, metrics_file
from openrlhf.utils.console import note, say
from openrlhf.view.report import facts, write_report
from openrlhf.view.runs import read_run

# By command; {model} is the folder of the model.
_NEXT = {
    "train_rm": "python3 -m openrlhf.cli.serve_rm --reward_pretrain {model}",
    "train_prm": "",
    "train_sft": "python3 -m openrlhf.cli.interactive_chat --pretrain {model}",
}
_SCORE = "python3 -m openrlhf.cli.math_eval --model_name_or_path {model} --data_names math500"


def write_closing_report(config: TrainConfig) -> Path | None:
    """The report of a run that has ended, however; None, and a note, where it cannot be written."""
    folder = Path(config.checkpoint.save_path)
    if not metrics_file(config).is_file():
        return None
    path = folder / REPORT_FILE
    try:
        write_report([folder], path)
    except Exception as error:  # the run itself went well
        note(f"the report {path} could not be written: {type(error).__name__}: {error}")
        return None
    return path


def say_end(config: TrainConfig, command: str, started: float, report: Path | None) -> None:
    """started: by `time.monotonic`."""
    folder = Path(config.checkpoint.save_path)
    run = read_run(folder)
    said = dict(facts(run))
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    steps = said.pop("steps")
    told = [f"{steps} steps in {minutes}:{seconds:02d} min"]
    for label in ("accuracy of rollouts", "accuracy on held-out problems", "loss"):
        if label in said:
            told.append(f"{label} {said[label].split(',')[0]}")
    say(f"Done: {', '.join(told)}.", always=True)
    rows = [("model", str(folder)), ("metrics", str(metrics_file(config)))]
    rows += [("report", str(report))] if report else []
    rows += [("log", str(folder / LOG_FOLDER))]
    following = _NEXT.get(command, _SCORE).format(model=folder)
    rows += [("next", following)] if following else []
    for name, value in rows:
        say(f"  {name:<9}{value}", always=True)
