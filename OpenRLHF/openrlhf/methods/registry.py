"""The methods that there are, and how one of the user's own is found."""

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from openrlhf.config.method import MethodConfig
from openrlhf.errors import UserError
from openrlhf.methods.base import OfflineMethod, RLMethod
from openrlhf.methods.cispo import CISPO
from openrlhf.methods.dapo import DAPO
from openrlhf.methods.dpo import DPO
from openrlhf.methods.dr_grpo import DrGRPO
from openrlhf.methods.gae import GAE
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.methods.gspo import GSPO
from openrlhf.methods.hdpo import HDPO
from openrlhf.methods.intro import Intro
from openrlhf.methods.kd import Distillation
from openrlhf.methods.kto import KTO
from openrlhf.methods.opsd import OPSD
from openrlhf.methods.prm import ProcessReward
from openrlhf.methods.raft import Raft
from openrlhf.methods.reinforce import Reinforce
from openrlhf.methods.reinforce_baseline import ReinforceBaseline
from openrlhf.methods.rlcsd import RLCSD
from openrlhf.methods.rloo import RLOO
from openrlhf.methods.rlsd import RLSD
from openrlhf.methods.rm import RewardModelling
from openrlhf.methods.sdpo import SDPO
from openrlhf.methods.sft import SFT
from openrlhf.methods.srpo import SRPO

METHODS: tuple[type[MethodConfig], ...] = (
    Intro,
    GAE,
    Reinforce,
    RLOO,
    ReinforceBaseline,
    GroupNorm,
    DrGRPO,
    Raft,
    DAPO,
    GSPO,
    CISPO,
    OPSD,
    SDPO,
    SRPO,
    RLSD,
    RLCSD,
    HDPO,
    SFT,
    RewardModelling,
    DPO,
    KTO,
    ProcessReward,
    Distillation,
)  # fmt: skip

USER_MODULE = "openrlhf_user_method"


def methods_of(command: str) -> dict[str, type[MethodConfig]]:
    """Those that a command offers, by name."""
    return {method.name: method for method in METHODS if command in method.commands}


def load_method(where: str) -> type[MethodConfig]:
    """A user's own: the last class of a .py file that is a method, or `module:Class`.

    Raises:
        UserError: there is no such file, module or class, or importing it fails.
    """
    if where.endswith(".py"):
        return _only_method(_file_module(Path(where)), where)
    name, _, attribute = where.partition(":")
    if not attribute:
        raise UserError(f"--method {where}: give a .py file, or module:Class")
    try:
        found = getattr(importlib.import_module(name), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"--method {where}: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, MethodConfig)):
        raise UserError(f"--method {where}: {attribute} is no method; derive it from openrlhf.methods.base.RLMethod")
    return _checked(found, where)


def _file_module(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"--method {path}: there is no such file")
    spec = importlib.util.spec_from_file_location(USER_MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[USER_MODULE] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's own code raises
        raise UserError(f"--method {path}: {type(error).__name__} while it is imported: {error}") from error
    return module


def _only_method(module: ModuleType, where: str) -> type[MethodConfig]:
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, MethodConfig) and value.__module__ == module.__name__
    ]
    if not found:
        raise UserError(f"--method {where}: it defines no method; derive a class from openrlhf.methods.base.RLMethod")
    return _checked(found[-1], where)


def _checked(method: type[MethodConfig], where: str) -> type[MethodConfig]:
    if not issubclass(method, RLMethod | OfflineMethod):
        raise UserError(
            f"--method {where}: {method.__name__} declares settings but does nothing; derive it from RLMethod"
        )
    missing = sorted(name for name in ("name", "title") if not hasattr(method, name))
    missing += sorted(getattr(method, "__abstractmethods__", ()))
    if missing:
        raise UserError(f"--method {where}: {method.__name__} lacks {', '.join(missing)}")
    if "__dataclass_params__" not in vars(method) or not vars(method)["__dataclass_params__"].frozen:
        raise UserError(f"--method {where}: write @dataclass(frozen=True) before class {method.__name__}")
    return method
