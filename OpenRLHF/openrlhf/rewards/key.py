"""The key that a reward server asks for: the first line of a file, sent as `Authorization: Bearer KEY`."""

import hmac
import stat
from pathlib import Path

from openrlhf.errors import UserError

SHORTEST = 16


def read_key(path: str) -> str:
    """
    Raises:
        UserError: no such file, one that others can read, or a key that is too short or no ASCII.
    """
    file = Path(path).expanduser()
    try:
        mode, key = file.stat().st_mode, file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--api_key_file {path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(f"--api_key_file {path} can be read by others: chmod 600 {path}")
    if len(key) < SHORTEST or not key.isascii() or not key.isprintable():
        raise UserError(
            f"--api_key_file {path} must begin with a line of at least {SHORTEST} ASCII characters, such as"
            " `openssl rand -hex 32` writes"
        )
    return key


def header_of(key: str) -> str:
    return f"Bearer {key}"


def is_allowed(given: str | None, key: str | None) -> bool:
    """Whether a request's Authorization header is right; compared in constant time."""
    return key is None or hmac.compare_digest((given or "").encode(), header_of(key).encode())
