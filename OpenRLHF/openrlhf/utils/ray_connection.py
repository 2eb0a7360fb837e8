"""Connects to Ray: to the cluster that is named, or to one of this process's own, which nobody else can read."""

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, TextIO

from openrlhf.errors import UserError
from openrlhf.utils import signals

_ANSWER_S = 5.0  # for a cluster that is there to accept a connection, and to answer
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS  # gRPC's, which is answered with settings at once
_own_folder: Path | None = None
_alive: TextIO | None = None  # open, and thereby locked, as long as this process lives


def connect(**options: Any) -> None:
    """Joins the cluster of RAY_ADDRESS, as a job does; without it starts Ray on this machine. Once is enough.

    Raises:
        UserError: nobody answers at RAY_ADDRESS.
    """
    import ray

    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _check_answers(address)
        ray.init(address="auto", **options)
    else:
        start_local_ray(**options)
    signals.install()  # Ray puts handlers of its own in their place, and keeps SIGINT back while it starts


def disconnect() -> None:
    """Ends a Ray of this process's own; leaves a cluster that it joined."""
    global _own_folder
    import ray

    ray.shutdown()
    if _own_folder is not None:
        if os.environ.get("RAY_AUTH_TOKEN_PATH") == str(_own_folder / "token"):
            del os.environ["RAY_AUTH_TOKEN_PATH"], os.environ["RAY_AUTH_MODE"]
        shutil.rmtree(_own_folder, ignore_errors=True)
        _own_folder = None


def see_own_gpus() -> None:
    """In a Ray worker, before CUDA is initialised: the GPUs that Ray gave to this process are the only ones it sees.

    Ray does this itself, unless RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES tells it not to: then every rank would
    take the first GPU of its machine.
    """
    ray = sys.modules.get("ray")  # there in every worker of Ray's; a rank without Ray need not have it
    if ray is not None and ray.is_initialized() and (own := ray.get_gpu_ids()):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, own))


def start_local_ray(**options: Any) -> None:
    """Starts a Ray of this process's own: every port on loopback, no dashboard. options: more of `ray.init`'s.

    Without an address, `ray.init` would join the cluster that some `ray start` of this machine named last, and wait
    for minutes where that has died. Its files go to a folder that only this user can enter, since Ray opens its own
    folders to everybody; so does its token, for which Ray would write a file into the home folder.
    """
    global _own_folder, _alive

    # Where clusters are disabled, Ray listens on loopback; it reads the variable when it is first imported.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Short: the sockets in it have names of 107 characters at most.
    parent = Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    _clear_leftovers(parent)
    _own_folder = Path(tempfile.mkdtemp(prefix="ray-", dir=parent))
    _alive = _held(_own_folder / "starting")
    os.replace(_own_folder / "starting", _own_folder / "alive")  # nobody sees it without its lock
    if not os.environ.keys() & {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        token = _own_folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32), encoding="ascii")
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    import ray
    from ray._private import ray_constants

    raylet: Any = ray._raylet
    raylet.Config.initialize("")  # ray may have been imported, and have read its settings, before
    raylet.AuthenticationTokenLoader.instance().reset_cache()
    ray_constants.ENABLE_RAY_CLUSTER = False
    ray.init(address="local", include_dashboard=False, _temp_dir=str(_own_folder / "r"), **options)


def _clear_leftovers(parent: Path) -> None:
    """Removes what commands of this user that were killed have left: logs, and a token that nobody needs any more.

    Whoever lives holds a lock in his folder, whatever container he is in.
    """
    for lock in parent.glob("ray-*/alive"):
        with contextlib.suppress(OSError):
            if lock.parent.lstat().st_uid == os.getuid() and _held(lock) is not None:
                shutil.rmtree(lock.parent, ignore_errors=True)


def _held(lock: Path) -> TextIO | None:
    """The lock, until it is closed; None where another process has it."""
    file = lock.open("a", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _check_answers(address: str) -> None:
    """`ray.init` would wait for minutes, deaf to signals, for a head that is gone."""
    host, _, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        return  # "auto" and the like: Ray knows what they mean
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S) as there:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                there.sendall(_GREETING)
                if there.recv(4)[3:] != _SETTINGS[3:4]:
                    raise OSError("what answers is something else")
    except OSError as error:
        raise UserError(
            f"RAY_ADDRESS {address}: no Ray answers there ({error.strerror or error}): start one, or unset RAY_ADDRESS"
            " to have one started"
        ) from None
