"""Configurations for tests: from command lines, or from values by flag."""

from typing import Any

from openrlhf.cli.arguments import Parsed, parse
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import build, values_of
from openrlhf.methods.registry import METHODS


class Flat:
    """A configuration whose settings can be read by the names of their flags."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def __getattr__(self, name: str) -> Any:
        try:
            return values_of(self.config)[name]
        except KeyError:
            return getattr(self.config, name)


def parsed(command: str, *argv: str) -> Parsed:
    return parse(command, list(argv))


def rl_config(method: str = "intro", **values: Any) -> RLConfig:
    """An RL configuration from values by flag, as if it came from the rules: nothing is checked."""
    chosen = next(kind for kind in METHODS if kind.name == method)
    own: Any = build(chosen, values)
    return build(RLConfig, values, method=own)
