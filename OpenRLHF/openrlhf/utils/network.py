"""Ports and addresses."""

import socket


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port of `host` that is free now; another process may take it before it is used."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        return sock.getsockname()[1]
