"""run.yaml: the complete configuration of a run, beside its model; --config starts it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrlhf.config.method import MethodConfig
from openrlhf.config.settings import as_tree, from_tree, nearest
from openrlhf.errors import UserError
from openrlhf.utils.atomic import write_atomically

RUN_FILE = "run.yaml"


def write_run_file(folder: Path, command: str, config: Any, method_source: str | None = None) -> None:
    """config: as the user gave it, before the rules, so that the rules say the same when it is started again.

    method_source: where a method of the user's own comes from. API keys are left out.
    """
    import yaml

    tree = {"command": command, **as_tree(config)}
    method = getattr(config, "method", None)
    if isinstance(method, MethodConfig):
        source = {"source": method_source} if method_source else {}
        tree["method"] = {"name": method.name, **source, **tree["method"]}
    write_atomically(folder / RUN_FILE, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120))


@dataclass(frozen=True)
class RunFile:
    """What a run.yaml holds. tree: its sections. method_name: of its method; method_source: see `write_run_file`."""

    path: str
    tree: Mapping[str, Any]
    method_name: str | None
    method_source: str | None

    @classmethod
    def read(cls, path: str, command: str) -> "RunFile":
        """
        Raises:
            UserError: no such file, no YAML, or another command's.
        """
        import yaml

        try:
            tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--config {path} cannot be read: {error}") from None
        except yaml.YAMLError as error:
            raise UserError(f"--config {path} is no YAML: {str(error).splitlines()[0]}") from None
        if not isinstance(tree, dict):
            raise UserError(f"--config {path} holds no configuration: a run writes one beside its model, as {RUN_FILE}")
        written_by = tree.pop("command", command)
        if written_by != command:
            raise UserError(f"--config {path} is a run of {written_by}, not of {command}")
        method = tree.get("method")
        if not isinstance(method, dict):
            return cls(path, tree, None, None)
        name, source = method.pop("name", None), method.pop("source", None)
        return cls(path, tree, name, source)

    def values(self, config: type, methods: Mapping[str, type[MethodConfig]]) -> dict[str, Any]:
        """By flag.

        Raises:
            UserError: what the configuration does not have, or a method that there is not.
        """
        tree = dict(self.tree)
        own = tree.pop("method", {})
        values = from_tree(config, tree, f"--config {self.path}")
        if self.method_name is None:
            return values
        if self.method_name not in methods:
            near = nearest(self.method_name, methods)
            raise UserError(f"--config {self.path}: there is no method {self.method_name!r}{near}")
        return {**values, **from_tree(methods[self.method_name], own, f"--config {self.path}: method")}
