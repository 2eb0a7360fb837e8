"""Settings are fields of frozen dataclasses whose metadata say all that a command line needs to know of them.

A configuration is a dataclass of sections; a section is a dataclass of settings, or of further sections. Each setting
has one flag, whose name is the field's unless it says otherwise.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from openrlhf.errors import UserError

C = TypeVar("C")
_SETTING, _SECTION = "setting", "section"


@dataclass(frozen=True)
class Flag:
    """One flag of a command line, without its dashes.

    kind: converts a text; `bool` is a switch without a value. at_least, more_than, at_most: the range of a number.
    secret: never written down. without_effect: why the flag does nothing, for those that are only accepted.
    """

    name: str
    kind: Callable[[str], Any]
    default: Any
    help: str
    choices: Sequence[str] | None = None
    nargs: int | str | None = None
    required: bool = False
    at_least: float = -math.inf
    more_than: float = -math.inf
    at_most: float = math.inf
    secret: bool = False
    without_effect: str = ""

    def check(self, value: Any) -> None:
        """UserError where a number is out of its range."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return
        if self.at_least <= value <= self.at_most and (value > self.more_than or self.more_than == -math.inf):
            return
        wanted = f"more than {self.more_than:g}" if self.more_than > -math.inf else f"at least {self.at_least:g}"
        limit = "" if self.at_most == math.inf else f" and at most {self.at_most:g}"
        raise UserError(f"--{self.name} {value} is out of range: give {wanted}{limit}")


def setting(default: Any, help: str, *, flag: str | None = None, kind: Callable | None = None, **more: Any) -> Any:
    """A field with a flag.

    default: a value, or a function that is called for every new configuration. help: a sentence. flag: its name, where
    it is not the field's. kind: the converter, where the annotation does not say it. more: as in `Flag`.
    """
    made = {"default_factory": default} if callable(default) else {"default": default}
    return field(**made, metadata={_SETTING: {"help": help, "flag": flag, "kind": kind, **more}})


def switch(help: str, **more: Any) -> Any:
    """A flag without value: False unless given."""
    return setting(False, help, **more)


def section(kind: type, title: str, **defaults: Any) -> Any:
    """A field that holds a part of the configuration. title: of its group in --help. defaults: by setting."""
    return field(default_factory=lambda: kind(**defaults), metadata={_SECTION: title})


def flags_of(kind: type, title: str = "") -> Iterator[tuple[str, Flag]]:
    """Every flag of a configuration or section, with the title of its group."""
    hints = get_type_hints(kind)
    for own in fields(kind):
        if _SECTION in own.metadata:
            yield from flags_of(hints[own.name], own.metadata[_SECTION])
        elif _SETTING in own.metadata:
            yield title, _flag(kind, own, hints[own.name])


def build(kind: type[C], values: Mapping[str, Any], **parts: Any) -> C:
    """A configuration from values by flag; what is missing has its default. parts: fields that are no settings."""
    hints, made = get_type_hints(kind), dict(parts)
    for own in fields(kind):  # type: ignore[arg-type]
        if _SECTION in own.metadata:
            made[own.name] = build(hints[own.name], values)
        elif _SETTING in own.metadata and flag_name(kind, own) in values:
            made[own.name] = values[flag_name(kind, own)]
    return kind(**made)


def with_flags(config: C, **values: Any) -> C:
    """The same configuration with other values for some of its flags, also those of its parts.

    Raises:
        KeyError: it has no such flag.
    """
    known = values_of(config)
    if unknown := values.keys() - known.keys():
        raise KeyError(f"no flags {sorted(unknown)} in {type(config).__name__}")
    return _changed(config, values)


def values_of(config: Any) -> dict[str, Any]:
    """Its values by flag."""
    found: dict[str, Any] = {}
    for own in fields(config):
        value = getattr(config, own.name)
        if _SETTING in own.metadata:
            found[flag_name(type(config), own)] = value
        elif is_dataclass(value):
            found.update(values_of(value))
    return found


def flag_name(kind: type, own: Field) -> str:
    """The flag of a field: its own name behind the `flag_prefix` of its class, unless it says otherwise."""
    return own.metadata[_SETTING]["flag"] or getattr(kind, "flag_prefix", "") + own.name


def as_tree(config: Any) -> dict[str, Any]:
    """Sections within sections, by the names of their fields; secrets are left out."""
    tree: dict[str, Any] = {}
    for own in fields(config):
        value = getattr(config, own.name)
        if _SETTING in own.metadata:
            if not own.metadata[_SETTING].get("secret"):
                tree[own.name] = list(value) if isinstance(value, tuple) else value
        elif is_dataclass(value):
            tree[own.name] = as_tree(value)
    return tree


def from_tree(kind: type, tree: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values by flag of what `as_tree` wrote. where: the file, for the message.

    Raises:
        UserError: a name that the section does not have, with the nearest one, or a value of another type.
    """
    hints, by_name = get_type_hints(kind), {own.name: own for own in fields(kind)}
    values: dict[str, Any] = {}
    for name, value in tree.items():
        own = by_name.get(name)
        if own is None:
            raise UserError(f"{where}: {name!r} is unknown{nearest(name, by_name)}")
        if _SECTION in own.metadata:
            if not isinstance(value, Mapping):
                raise UserError(f"{where}: {name!r} is a section, found {value!r}")
            values.update(from_tree(hints[name], value, f"{where}: {name}"))
        else:
            flag = _flag(kind, own, hints[name])
            values[flag.name] = _converted(flag, value, f"{where}: {name}")
    return values


def nearest(name: str, known: Any) -> str:
    """A hint for a mistyped name; "" where nothing is near."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"


def integer(text: str) -> int:
    """Converts `1024` and also `1e8`, which some defaults of OpenRLHF are written as; refuses fractions.

    Raises ValueError, which argparse reports with the flag's name.
    """
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise ValueError(f"{text} is not a whole number") from None
        return int(value)


_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's, under WSL, AMD's


def gpu_count(text: str) -> int:
    """Converts a number, or `visible`: the number of GPUs visible to this process, at least 1.

    argparse converts a default written as text only when the flag was not given, and not for `--help`; so
    torch is imported only when its answer is needed.
    """
    if text != "visible":
        return integer(text)
    if not any(os.path.exists(device) for device in _GPU_DEVICES):
        return 1  # without seconds of importing torch
    import torch

    return max(1, torch.cuda.device_count())


_KINDS: dict[Any, Callable[[str], Any]] = {str: str, int: integer, float: float, bool: bool}


def _flag(kind: type, own: Field, annotation: Any) -> Flag:
    more = dict(own.metadata[_SETTING])
    more.pop("flag")
    converter = more.pop("kind") or _KINDS[_plain(annotation)]
    default = own.default if own.default_factory is MISSING else own.default_factory
    return Flag(flag_name(kind, own), converter, default, more.pop("help"), **more)


def _plain(annotation: Any) -> Any:
    """The type of one value: without None, and of a tuple's elements."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    return get_args(annotation)[0] if get_origin(annotation) is tuple else annotation


def _converted(flag: Flag, value: Any, where: str) -> Any:
    """A value of a file as the command line would have given it."""
    if value is None:
        return None
    try:
        if flag.kind is bool:
            if not isinstance(value, bool):
                raise ValueError("true or false")
            return value
        if isinstance(value, list):
            if flag.nargs is None:
                raise ValueError("one value")
            return tuple(flag.kind(str(one)) for one in value)
        return flag.kind(str(value))
    except ValueError as error:
        raise UserError(f"{where}: {value!r} is no value of --{flag.name} ({error})") from None


def _changed(config: Any, values: Mapping[str, Any]) -> Any:
    changes = {}
    for own in fields(config):
        value = getattr(config, own.name)
        if _SETTING in own.metadata:
            name = flag_name(type(config), own)
            if name in values:
                changes[own.name] = values[name]
        elif is_dataclass(value):
            changes[own.name] = _changed(value, values)
    return replace(config, **changes)
