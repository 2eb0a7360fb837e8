"""Serves a reward model over HTTP: python3 -m openrlhf.cli.serve_rm --reward_pretrain ..., asked at /get_reward."""

import signal
import socket
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from openrlhf.config.flags import build_parser
from openrlhf.config.inference_rules import serving_rules
from openrlhf.errors import UserError

SHUTDOWN_S = 180  # answers that are under way at the end; as long as clients wait for one


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 ended by SIGTERM or SIGINT, 2 something the user can mend."""
    args = build_parser("serve_rm").parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        args, notes = serving_rules(args)
        with bind(args.host, args.port) as listener:
            serve(args, notes, listener)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


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


def serve(args: Namespace, notes: Sequence[str], listener: socket.socket) -> None:
    import uvicorn

    from openrlhf.rewards.reward_model import RewardModel, inspect_reward_model, local_devices
    from openrlhf.rewards.scoring_queue import ScoringQueue
    from openrlhf.rewards.server import RewardService

    files, found = inspect_reward_model(
        args.reward_pretrain, head_prefix=args.value_head_prefix, normalize_reward=args.normalize_reward
    )
    for note in [*notes, *found]:
        print(f"note: {note}", flush=True)
    models = [RewardModel(files, args, device, max_len=args.max_len) for device in local_devices(args.workers)]
    line = ScoringQueue(models, workers=args.workers, batch_size=args.batch_size)
    service = RewardService(models[0], line, max_requests=args.max_requests, max_bytes=args.max_request_mb * (1 << 20))
    config = uvicorn.Config(
        service.app(),
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        access_log=False,  # a trainer asks many times a second; GET /health counts
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)  # uvicorn has handlers of its own and raises the signal again at the end
    print(f"ready: {_url(listener)}/get_reward, {len(models)} model(s), {args.workers} worker(s)", flush=True)
    uvicorn.Server(config).run(sockets=[listener])
    line.close()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _ignore(*_: Any) -> None:
    """The signal has done its work: uvicorn has shut down."""


if __name__ == "__main__":
    sys.exit(main())
