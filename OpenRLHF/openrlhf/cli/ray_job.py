"""Runs a command as a Ray job: `python3 -m openrlhf.cli.ray_job --address URL COMMAND…`.

`ray job submit` quotes arguments for another shell than the one that reads them, and turns every failure into
status 1. Here the command arrives as it was given, its log is followed, and its own exit status is returned.
The job runs in the folder of the caller. When this process gets SIGTERM or SIGINT, the job is stopped first.
"""

import argparse
import asyncio
import os
import shlex
import signal
import sys
import time
import uuid

from ray.exceptions import RayError
from ray.job_submission import JobStatus, JobSubmissionClient

from openrlhf.cli.keys import hide_key, job_environment
from openrlhf.cli.parser import Parser
from openrlhf.errors import UserError

STOP_SECONDS = 30.0
RETRY_SECONDS = (0.5, 2.0)
LOST = 1


class Interrupted(Exception):
    """Raised in the main thread by the signal that asks for an end; its number is the argument."""


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted(number)


def entrypoint(command: list[str], folder: str) -> str:
    """The command line, quoted for the shell that Ray runs it with."""
    return f"cd {shlex.quote(folder)} && exec {shlex.join(command)}"


async def _follow(client: JobSubmissionClient, job: str) -> None:
    async for text in client.tail_job_logs(job):
        sys.stdout.write(text)
        sys.stdout.flush()


def run(address: str, command: list[str]) -> int:
    """Submits, follows and waits; its exit status, 128 + n after signal n, 1 where Ray lost it.

    Raises:
        UserError: nothing answers at the address, or it does not accept the token.
    """
    try:
        client = _client(address)
    except (ConnectionError, RuntimeError, RayError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"Ray at {address} takes no job: {reason} Check RAY_ADDRESS and the token (RAY_AUTH_TOKEN_PATH), or unset "
            "RAY_ADDRESS to have a head started."
        ) from error
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    job = f"openrlhf-{uuid.uuid4().hex[:12]}"  # known before the job is, so that it can always be stopped
    try:
        client.submit_job(
            entrypoint=entrypoint(command, os.getcwd()),
            submission_id=job,
            runtime_env={"env_vars": job_environment()},
        )
        asyncio.run(_follow(client, job))
        return _exit_status(client, job)
    except Interrupted as interruption:
        _stop(client, job)
        return 128 + int(interruption.args[0])


def _client(address: str) -> JobSubmissionClient:
    """Tries again when the connection fails: a busy machine's dashboard refuses one now and then."""
    for pause in RETRY_SECONDS:
        try:
            return JobSubmissionClient(address)
        except ConnectionError:
            time.sleep(pause)
    return JobSubmissionClient(address)


def _exit_status(client: JobSubmissionClient, job: str) -> int:
    while not client.get_job_status(job).is_terminal():
        time.sleep(0.5)
    details = client.get_job_info(job)
    if details.status == JobStatus.SUCCEEDED:
        return 0
    if not details.driver_exit_code:
        print(f"job {job} {details.status}: {details.message}", file=sys.stderr)
    return details.driver_exit_code or LOST


def _stop(client: JobSubmissionClient, job: str) -> None:
    """Asks Ray to stop the job and waits until it has; further signals are ignored meanwhile."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    print(f"stopping job {job}", file=sys.stderr)
    try:
        client.stop_job(job)
        deadline = time.monotonic() + STOP_SECONDS
        while not client.get_job_status(job).is_terminal() and time.monotonic() < deadline:
            time.sleep(0.2)
    except RuntimeError as error:  # it had not been submitted, or Ray is gone
        print(f"job {job}: {error}", file=sys.stderr)


def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--address", required=True, help="of the dashboard, or what RAY_ADDRESS accepts")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    hide_key()
    args = parser.parse_args()
    try:
        return run(args.address, args.command)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
