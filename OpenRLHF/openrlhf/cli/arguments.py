"""From a command line to a configuration: the one place that knows argparse."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrlhf.cli.commands import COMMANDS, FIRST
from openrlhf.cli.parser import Parser
from openrlhf.config.method import MethodConfig
from openrlhf.config.run_file import RunFile
from openrlhf.config.settings import Flag, build, flags_of
from openrlhf.errors import UserError
from openrlhf.methods.registry import load_method, methods_of

CHOOSES_METHOD = "advantage_estimator"


@dataclass(frozen=True)
class Parsed:
    """config: before the rules. given: names of the flags that the user gave, here or in a file. methods: those that
    the command offers, by name. method_source: where a method of the user's own comes from. quiet, verbose: how much is
    said."""

    command: str
    config: Any
    given: frozenset[str]
    methods: Mapping[str, type[MethodConfig]]
    method_source: str | None = None
    quiet: bool = False
    verbose: bool = False


def parse(command: str, argv: Sequence[str] | None = None) -> Parsed:
    """argv None means the command line. Ends the process on flags that do not exist, as argparse does.

    Raises:
        UserError: a file of --config or --method that cannot be used.
        KeyError: no such command.
    """
    first, _ = _first_parser(command).parse_known_args(argv)
    stored = RunFile.read(first.config, command) if first.config else None
    methods, own, source = methods_of(command), None, getattr(first, "method", None)
    source = source or (stored.method_source if stored and not _names_method(argv) else None)
    if source is not None:
        source = str(Path(source).resolve()) if source.endswith(".py") else source  # run.yaml is read elsewhere
        own = load_method(source)
        _check_own(own, command, methods)
        methods = {**methods, own.name: own}
    parser = build_parser(command, methods)
    values, given = vars(parser.parse_args(argv)), given_flags(parser, argv)
    if own is not None and CHOOSES_METHOD in given:
        raise UserError(f"--method and --{CHOOSES_METHOD} both choose a method: remove one")
    chosen = own.name if own is not None else values.get(CHOOSES_METHOD, COMMANDS[command].method)
    if stored is not None:
        if own is None and CHOOSES_METHOD not in given and stored.method_name is not None:
            chosen = stored.method_name
        read = stored.values(COMMANDS[command].config, methods)
        changed = {name for name, value in read.items() if values.get(name) != value}
        values.update({name: value for name, value in read.items() if name not in given})
        given |= changed
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    parts = {"method": build(methods[chosen], values)} if methods else {}
    config: Any = build(COMMANDS[command].config, values, **parts)
    talk = {name: bool(values.get(name)) for name in ("quiet", "verbose")}
    if all(talk.values()):
        raise UserError("-q and -v contradict each other: remove one")
    return Parsed(command, config, frozenset(given), methods, source, **talk)


def _names_method(argv: Sequence[str] | None) -> bool:
    words = sys.argv[1:] if argv is None else argv
    return any(word.split("=")[0] == f"--{CHOOSES_METHOD}" for word in words)


def build_parser(command: str, methods: Mapping[str, type[MethodConfig]] | None = None) -> argparse.ArgumentParser:
    """The parser of `openrlhf.cli.{command}`, its flags in groups; methods: those it offers, by default the built-in
    ones. Defaults that depend on the moment (names of runs) are computed now."""
    methods = methods_of(command) if methods is None else methods
    name = f"python3 -m openrlhf.cli.{command}"
    first = FIRST.get(COMMANDS[command].config, "").split()
    # Usage would name some hundred flags.
    parser = Parser(prog=name, usage=f"{name} [flags]" if first else None)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for title, flag in _first_ones([*_run_flags(command, methods), *_flags(command, methods)], first):
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        add_flag(groups[title], flag, COMMANDS[command].defaults)
    if methods_of(command):
        groups["Run"].add_argument("--quiet", "-q", action="store_true", help="Say only notes and how the run ended.")
        groups["Run"].add_argument(
            "--verbose", "-v", action="store_true", help="Also what libraries print, in place of a file in log/."
        )
    return parser


def _first_ones(flags: Sequence[tuple[str, Flag]], first: Sequence[str]) -> list[tuple[str, Flag]]:
    """Those that matter first in a group of their own, in their order, and the others behind them as they stood."""
    by_name = {flag.name: flag for _, flag in flags}
    leading = [("First", by_name[name]) for name in first if name in by_name]
    return leading + [(title, flag) for title, flag in flags if flag.name not in first]


def given_flags(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> set[str]:
    """Names (without dashes) of the flags that `argv` really gives, not those left at their default.

    `argv` None means the command line, as in `parse_args`.
    """
    absent = object()
    # argparse leaves a default away where the namespace has the attribute already.
    untouched = argparse.Namespace(**{action.dest: absent for action in parser._actions})
    parsed = vars(parser.parse_args(argv, namespace=untouched))
    return {name for name, value in parsed.items() if value is not absent}


def _first_parser(command: str) -> argparse.ArgumentParser:
    """Knows only what decides which flags there are."""
    parser = Parser(add_help=False, allow_abbrev=False)
    for _, flag in _run_flags(command, {}):
        if flag.name != CHOOSES_METHOD:
            parser.add_argument(f"--{flag.name}")
    return parser


def _run_flags(command: str, methods: Mapping[str, type[MethodConfig]]) -> list[tuple[str, Flag]]:
    flags = [Flag("config", str, None, "A run.yaml to start again; flags given besides win.")]
    start = COMMANDS[command].method
    if len(methods_of(command)) > 1:
        titles = ", ".join(f"{name} ({method.title})" for name, method in methods.items())
        flags.append(Flag(CHOOSES_METHOD, str, start, f"Method: {titles}.", choices=tuple(methods)))
        flags.append(Flag("method", str, None, "A method of your own: a .py file, or module:Class (docs/methods.md)."))
    return [("Run", flag) for flag in flags]


def _flags(command: str, methods: Mapping[str, type[MethodConfig]]) -> list[tuple[str, Flag]]:
    """Every setting once, with the title of its group."""
    without = COMMANDS[command].without.split()
    found = [(title, flag) for title, flag in flags_of(COMMANDS[command].config) if flag.name not in without]
    owners: dict[str, list[type[MethodConfig]]] = {}
    declared: dict[str, Flag] = {}
    for method in methods.values():
        for _, flag in flags_of(method):
            owners.setdefault(flag.name, []).append(method)
            declared.setdefault(flag.name, flag)
    for name, flag in declared.items():
        titles = [method.title for method in owners[name]]
        found.append((titles[0] if len(titles) == 1 else "Several methods", flag))
    return found


def _check_own(own: type[MethodConfig], command: str, methods: Mapping[str, type[MethodConfig]]) -> None:
    """UserError where a method of the user's own does not go with the command or its flags."""
    if own.name in methods:
        raise UserError(f"--method: {own.__name__} is called {own.name!r}, as another method: give it another name")
    if not issubclass(own, _kinds_of(command)):
        raise UserError(f"--method: {own.__name__} is no method for {command}: derive it from RLMethod")
    taken = {flag.name for _, flag in flags_of(COMMANDS[command].config)}
    inherited = {flag.name: flag.help for method in methods.values() for _, flag in flags_of(method)}
    for _, flag in flags_of(own):
        if flag.name in taken or inherited.get(flag.name, flag.help) != flag.help:
            raise UserError(
                f"--method: {own.__name__} declares --{flag.name}, which exists already: rename the field, or give"
                ' the class a flag_prefix, such as "my_"'
            )


def _kinds_of(command: str) -> tuple[type, ...]:
    from openrlhf.methods.base import OfflineMethod, RLMethod

    return (RLMethod,) if COMMANDS[command].method in methods_of("train_ppo_ray_intro") else (OfflineMethod,)


def add_flag(group: argparse._ArgumentGroup, flag: Flag, defaults: Mapping[str, Any]) -> None:
    """defaults: by flag, where the command has another one than the setting."""
    default = defaults.get(flag.name, flag.default)
    if callable(default):
        default = default()
    if flag.kind is bool:
        group.add_argument(f"--{flag.name}", action="store_true", help=_escaped(flag.help))
        return
    group.add_argument(
        f"--{flag.name}",
        type=flag.kind,
        default=default,
        choices=flag.choices,
        nargs=flag.nargs,
        required=flag.required,
        metavar=None if flag.choices else _metavar(flag),
        help=_escaped(flag.help) + ("" if default is None else _escaped(f" (default: {_shown(default)})")),
    )


def _metavar(flag: Flag) -> str:
    return {"str": "TEXT", "float": "NUMBER", "Path": "PATH"}.get(getattr(flag.kind, "__name__", ""), "N")


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return " ".join(str(value) for value in default)
    if isinstance(default, float):
        return f"{default:g}"
    return repr(default) if isinstance(default, str) and default != default.strip() else str(default)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
