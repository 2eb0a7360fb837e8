"""Serves a reward model over HTTP: python3 -m openrlhf.cli.serve_rm --reward_pretrain ..., asked at /get_reward."""

import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from openrlhf.cli.arguments import Parsed
from openrlhf.cli.reading import run_command
from openrlhf.config.inference import ServingConfig
from openrlhf.config.inference_rules import serving_rules
from openrlhf.errors import UserError
from openrlhf.rewards.key import read_key

SHUTDOWN_S = 180  # answers that are under way at the end; as long as clients wait for one


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 ended by SIGTERM or SIGINT, 2 something the user can mend."""
    return run_command("serve_rm", argv, serving_rules, begin)


def begin(config: ServingConfig, notes: list[str], parsed: Parsed) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    key = read_key(config.server.api_key_file) if config.server.api_key_file else None
    with bind(config.server.host, config.server.port) as listener:
        serve(config, notes, listener, key)


def bind(host: str, port: int) -> socket.socket:
    """Takes the port before anything is loaded. It listens at once, so that clients wait while the model is loaded."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(
            f"cannot listen on --host {host} --port {port} ({error.strerror or error}): choose another --port, or end"
            " what uses this one"
        ) from None


def serve(config: ServingConfig, notes: Sequence[str], listener: socket.socket, key: str | None) -> None:
    import uvicorn

    from openrlhf.rewards.reward_model import RewardModel, inspect_reward_model, local_devices
    from openrlhf.rewards.scoring_queue import ScoringQueue
    from openrlhf.rewards.server import RewardService

    server = config.server
    files, found = inspect_reward_model(
        str(server.reward_pretrain), head_prefix=server.value_head_prefix, normalize_reward=server.normalize_reward
    )
    for note in [*notes, *found]:
        print(f"note: {note}", flush=True)
    models = [
        RewardModel(files, config.model, device, max_len=server.max_len) for device in local_devices(server.workers)
    ]
    line = ScoringQueue(models, workers=server.workers, batch_size=server.batch_size)
    service = RewardService(
        models[0], line, max_requests=server.max_requests, max_bytes=server.max_request_mb << 20, key=key
    )
    options = uvicorn.Config(
        service.app(),
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        access_log=False,  # a trainer asks many times a second; GET /health counts
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)  # uvicorn has handlers of its own and raises the signal again at the end
    print(f"ready: {_url(listener)}/get_reward, {len(models)} model(s), {server.workers} worker(s)", flush=True)
    uvicorn.Server(options).run(sockets=[listener])
    line.close()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _ignore(*_: Any) -> None:
    """The signal has done its work: uvicorn has shut down."""


if __name__ == "__main__":
    sys.exit(main())
