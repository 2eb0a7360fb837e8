"""Finished sets on disk: found, loaded, and shown as a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError
from openrlhf.evaluation.figures.records import Graded, graded_of
from openrlhf.evaluation.generation import store
from openrlhf.evaluation.questions.benchmarks import BENCHMARKS

_METRICS = "_metrics.json"


@dataclass(frozen=True)
class Result:
    """One finished set of one run. run: its name in tables, the model and what else tells runs apart."""

    run: str
    name: str
    figures: dict[str, Any]
    samples_path: Path

    @cached_property
    def problems(self) -> list[Graded]:
        """Read when first asked for; the file can be large."""
        return [graded_of(record) for record in store.read_lines(self.samples_path)]

    @property
    def settings(self) -> dict[str, Any]:
        return self.figures.get("settings", {})


def sample_files(folder: Path, names: Sequence[str] | None = None) -> list[tuple[str, Path]]:
    """(set, file of samples) under an output folder, sets in the table's order; `names` limits them."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; an --output_dir with results of math_eval.py is expected")
    order = {name: i for i, name in enumerate(BENCHMARKS)}
    found = [
        (path.parent.name, path)
        for path in folder.glob("*/*.jsonl")
        if not path.name.endswith(store.PARTIAL) and (names is None or path.parent.name in names)
    ]
    return sorted(found, key=lambda item: (order.get(item[0], len(order)), item[0], item[1].name))


def metrics_files(samples: Path) -> list[Path]:
    """The figures that belong to a file of samples, `{stem}_{prompt}_metrics.json`."""
    return [p for p in samples.parent.glob(f"*{_METRICS}") if p.name.startswith(f"{samples.stem}_")]


def load_results(folders: Iterable[Path], names: Sequence[str] | None = None) -> list[Result]:
    """Every finished set under these folders. Raises UserError where there is none."""
    folders = list(folders)
    loaded: list[tuple[Path, str, Path, dict[str, Any]]] = []
    for folder in folders:
        for name, samples in sample_files(folder, names):
            loaded += [(folder, name, samples, store.read_json(path)) for path in metrics_files(samples)]
    if not loaded:
        raise UserError(f"no finished set under {', '.join(map(str, folders))}; run math_eval.py there first")
    labels = _labels(
        [(folder, name, samples, figures.get("settings", {})) for folder, name, samples, figures in loaded]
    )
    return [
        Result(label, name, figures, samples) for label, (_, name, samples, figures) in zip(labels, loaded, strict=True)
    ]


def _labels(runs: Sequence[tuple[Path, str, Path, dict[str, Any]]]) -> list[str]:
    """Model · prompt type, with what else differs: short, and still unambiguous within a set."""
    models = [str(settings.get("model_name_or_path", folder)) for folder, _, _, settings in runs]
    short_models = _shortest_names(set(models))
    short_folders = _shortest_names({str(folder) for folder, *_ in runs})
    names = [name for _, name, _, _ in runs]
    labels = [
        _label(short_models[model], samples, settings)
        for model, (_, _, samples, settings) in zip(models, runs, strict=True)
    ]
    for more in (lambda run: short_folders[str(run[0])], lambda run: run[2].stem):
        pairs = list(zip(labels, names, strict=True))
        ambiguous = {label for label, name in pairs if pairs.count((label, name)) > 1}
        labels = [
            f"{label} · {more(run)}" if label in ambiguous else label for label, run in zip(labels, runs, strict=True)
        ]
    return labels


def _label(model: str, samples: Path, settings: dict[str, Any]) -> str:
    parts = [model, str(settings.get("prompt_type", samples.stem))]
    if isinstance(settings.get("num_shots"), int) and settings["num_shots"] > 0:
        parts.append(f"{settings['num_shots']}-shot")
    if settings.get("n_sampling", 1) > 1:
        parts.append(f"{settings['n_sampling']} samples at {settings.get('temperature')}")
    return " · ".join(parts)


def _shortest_names(models: set[str]) -> dict[str, str]:
    """The last parts of paths, as many as it takes to tell them apart."""
    for depth in range(1, 1 + max(len(Path(model).parts) for model in models)):
        short = {model: "/".join(Path(model).parts[-depth:]) for model in models}
        if len(set(short.values())) == len(models):
            return short
    return {model: model for model in models}


def runs_and_sets(results: Sequence[Result]) -> tuple[list[str], list[str]]:
    """Runs and sets in the order in which they first occur."""
    return list(dict.fromkeys(r.run for r in results)), list(dict.fromkeys(r.name for r in results))


def print_table(results: Sequence[Result]) -> None:
    """One line per run and set."""
    width = max(len(r.run) for r in results)
    header = f"{'run':{width}}  {'set':18} {'problems':>8}  {'acc %':>6}  {'95% interval':>14}"
    print(f"{header}  {'tokens':>7}  {'cut off':>7}  {'no answer':>9}")
    for r in results:
        accuracy = r.figures.get("accuracy") or {"low": float("nan"), "high": float("nan")}
        interval = f"{100 * accuracy['low']:.1f} – {100 * accuracy['high']:.1f}"
        figures = [
            _percent(r.figures.get("truncated_share"), 7),
            _percent(r.figures.get("no_answer_share"), 9),
        ]
        length = r.figures.get("length_mean")
        print(
            f"{r.run:{width}}  {r.name:18} {r.figures['num_samples']:8}  {r.figures['acc']:6.1f}  "
            f"{interval:>14}  {'' if length is None else format(length, '.0f'):>7}  {'  '.join(figures)}"
        )


def _percent(share: float | None, width: int) -> str:
    return f"{'' if share is None else format(100 * share, '.1f'):>{width}}"
