"""Which columns of the prompt data a reward function takes, read from its signature."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

from openrlhf.errors import UserError

FORM = "reward_func(queries, prompts, labels)"


@dataclass(frozen=True)
class Columns:
    """What a reward function takes beside queries, prompts and labels; JSON values, since a worker reports them.

    required, optional: parameters without and with a default, each filled from the column of its name.
    every: it takes `**fields`, and so all columns but `reserved`: names that its first three parameters have.
    """

    required: Sequence[str] = ()
    optional: Sequence[str] = ()
    every: bool = False
    reserved: Sequence[str] = ()

    def pick(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `fields`, by column, that the function takes. UserError where it requires one that is not there."""
        if missing := [name for name in self.required if name not in fields]:
            raise UserError(
                f"reward_func requires {', '.join(missing)}, found the columns {', '.join(fields) or 'none'}: name"
                " one of these, give the parameter a default, or take **fields (what --input_key and --label_key"
                " name arrives as prompts and labels)"
            )
        named = {*self.required, *self.optional}
        return {
            name: column
            for name, column in fields.items()
            if name in named or (self.every and name not in self.reserved)
        }


def columns_of(function: Callable[..., Any]) -> Columns:
    """UserError: the function cannot be called with queries, prompts and labels in their places."""
    try:
        found = signature(function)
    except ValueError:  # some callables written in C do not tell
        return Columns()
    parameters = list(found.parameters.values())
    placed = [one for one in parameters if one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    too_few = len(placed) < 3 and not any(one.kind is Parameter.VAR_POSITIONAL for one in parameters)
    if too_few or any(one.kind is Parameter.POSITIONAL_ONLY and one.default is Parameter.empty for one in placed[3:]):
        raise UserError(f"reward_func{found} cannot be called as {FORM}: it must take these three in their places")
    named = [one for one in parameters if one in placed[3:] and one.kind is not Parameter.POSITIONAL_ONLY]
    named += [one for one in parameters if one.kind is Parameter.KEYWORD_ONLY]
    return Columns(
        required=[one.name for one in named if one.default is Parameter.empty],
        optional=[one.name for one in named if one.default is not Parameter.empty],
        every=any(one.kind is Parameter.VAR_KEYWORD for one in parameters),
        reserved=["queries", "prompts", "labels", *(one.name for one in placed[:3])],
    )
