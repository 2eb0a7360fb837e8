"""Builds the argument parser of each command from the tables of flags."""

import argparse
from collections.abc import Sequence

from openrlhf.config.commands import CHOICES, COMMANDS, DEFAULTS, REQUIRED
from openrlhf.config.flag import Flag
from openrlhf.config.tables import ALL_GROUPS


def build_parser(command: str) -> argparse.ArgumentParser:
    """The parser of `openrlhf.cli.{command}`, its flags in groups.

    Defaults that depend on the moment (names of runs) are computed now. KeyError: no such command.
    """
    parser = argparse.ArgumentParser(prog=f"python3 -m openrlhf.cli.{command}")
    names = set(COMMANDS[command])
    for title, flags in ALL_GROUPS.items():
        chosen = [flag for flag in flags if flag.name in names]
        if chosen:
            group = parser.add_argument_group(title)
            for flag in chosen:
                _add(group, flag, command)
    return parser


def given_flags(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> set[str]:
    """Names (without dashes) of the flags that `argv` really gives, not those left at their default.

    `argv` None means the command line, as in `parse_args`.
    """
    absent = object()
    # argparse leaves a default away where the namespace has the attribute already.
    untouched = argparse.Namespace(**{action.dest: absent for action in parser._actions})
    parsed = vars(parser.parse_args(argv, namespace=untouched))
    return {name for name, value in parsed.items() if value is not absent}


def _add(group: argparse._ArgumentGroup, flag: Flag, command: str) -> None:
    default = DEFAULTS[command].get(flag.name, flag.default)
    if callable(default):
        default = default()
    if flag.kind is bool:
        group.add_argument(f"--{flag.name}", action="store_true", help=_escaped(flag.help))
        return
    group.add_argument(
        f"--{flag.name}",
        type=flag.kind,
        default=default,
        choices=CHOICES.get(command, {}).get(flag.name, flag.choices),
        nargs=flag.nargs,
        required=flag.required or flag.name in REQUIRED.get(command, ()),
        metavar=None if flag.choices else _metavar(flag),
        help=_escaped(flag.help) + ("" if default is None else _escaped(f" (default: {_shown(default)})")),
    )


def _metavar(flag: Flag) -> str:
    return {"str": "TEXT", "float": "NUMBER"}.get(getattr(flag.kind, "__name__", ""), "N")


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return " ".join(str(value) for value in default)
    if isinstance(default, float):
        return f"{default:g}"
    return repr(default) if isinstance(default, str) and default != default.strip() else str(default)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
