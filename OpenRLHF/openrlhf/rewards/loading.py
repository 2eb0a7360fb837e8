"""A reward function in its worker process: loaded, called, and held to its form."""

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError
from openrlhf.rewards.signature import FORM, Columns, columns_of


def load_reward_function(path: str = "", policy: str = "math") -> Any:
    """Run inside a worker: returns what maps a payload of queries, prompts, labels and fields to a list of rewards.

    Asked with None, it answers with the function's `Columns`, as a dictionary. Where there is no answer, it says why:
    {"broken": a line} where the file or the function is not of its form, {"raised": a line, "traceback": …} where
    the function raised.
    """
    path = os.path.abspath(path) if path else ""  # as in tracebacks
    try:
        function = _function_in(path) if path else _built_in(policy)
        columns = asdict(columns_of(function) if path else Columns())
    except UserError as error:
        refused = {"broken": str(error)}
    except (Exception, SystemExit) as error:
        refused = {"broken": f"{path} cannot be loaded: {_line_of(error, path)}"}
    else:
        return partial(_answer, function, columns, path)
    return lambda payload: refused


def _answer(function: Callable[..., Any], columns: dict[str, Any], path: str, payload: dict[str, Any] | None) -> Any:
    if payload is None:
        return columns
    try:
        values = function(payload["queries"], payload["prompts"], payload["labels"], **payload["fields"])
    except MemoryError:
        raise
    except Exception as error:
        own = error.__traceback__.tb_next if error.__traceback__ else None  # without this frame
        text = "".join(traceback.format_exception(type(error), error, own))
        return {"raised": _line_of(error, path), "traceback": text}
    try:
        return _numbers(values, len(payload["queries"]))
    except ValueError as error:
        return {"broken": f"reward_func returned {error}; expected a list or tensor of one number for each query"}


def _numbers(values: Any, count: int) -> list[float]:
    """ValueError: what was returned instead of `count` numbers."""
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) != 1:
        raise ValueError(f"a {type(values).__name__} of shape {list(shape)} for {count} queries")
    values = getattr(values, "tolist", lambda: values)()
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ValueError(f"a {type(values).__name__}")
    values = list(values)
    if len(values) != count:
        raise ValueError(f"{len(values)} values for {count} queries")
    for number, value in enumerate(values):
        if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
            raise ValueError(f"{value!r:.80} as value {number}")
    return [float(value) for value in values]


def _line_of(error: BaseException, path: str) -> str:
    """The error, and where in the user's file it arose."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename or path).name}, line {error.lineno})"
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{said} ({Path(path).name}, line {lines[-1]})" if lines else said


def _function_in(path: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location("user_reward", path)
    if spec is None or spec.loader is None:
        raise UserError(f"--remote_rm_url {path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and others look their module up
    spec.loader.exec_module(module)
    if not callable(getattr(module, "reward_func", None)):
        raise UserError(f"--remote_rm_url {path}: the file defines no {FORM}")
    return module.reward_func


def _built_in(policy: str) -> Callable[..., Any]:
    from openrlhf.rewards.correctness import correctness_reward

    return partial(correctness_reward, policy=policy)
