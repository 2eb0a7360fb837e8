"""Who can reach a running run, and who can read what it leaves: listening sockets, and permissions of files.

python3 exposure.py FOLDER [FLAG…] trains a toy, looks at it after two steps and after its end, and prints two tables.
"""

import os
import stat
import sys
from collections import Counter
from pathlib import Path

import psutil
from sigkills import Run, make_folder

STEPS = 6
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def listening(root: int) -> Counter[tuple[str, str]]:
    """(process, address) of every TCP socket on which a process below `root`, or it, waits; how many there are."""
    found: Counter[tuple[str, str]] = Counter()
    for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
        try:
            title = process.cmdline()
            sockets = process.net_connections(kind="inet")
        except psutil.Error:
            continue
        found.update(
            (_title(title), connection.laddr.ip) for connection in sockets if connection.status == psutil.CONN_LISTEN
        )
    return found


def _title(words: list[str]) -> str:
    if any("openrlhf.cli" in word for word in words):
        return "driver"
    if words and words[0].startswith("ray::"):
        return words[0].split(".")[0]
    named = [word for word in words if word.endswith((".py", "raylet", "gcs_server"))]
    return Path((named or words or ["?"])[0]).name


def reachable(folder: Path) -> Counter[tuple[str, str]]:
    """(kind, permissions) of everything below `folder` that others can reach: each folder on the way lets them in."""
    found: Counter[tuple[str, str]] = Counter()
    for entry in _entries(folder):
        mode = entry.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & OPEN_TO_OTHERS:
            kind = "folder" if stat.S_ISDIR(mode) else entry.suffix or entry.name
            found[kind, oct(stat.S_IMODE(mode))[2:]] += 1
    return found


def _entries(folder: Path) -> list[Path]:
    """Below `folder`, but not below what only the owner may enter."""
    made = []
    for entry in sorted(folder.iterdir()):
        made.append(entry)
        if entry.is_dir() and not entry.is_symlink() and entry.stat().st_mode & OPEN_TO_OTHERS:
            made += _entries(entry)
    return made


def look(folder: Path, *flags: str) -> tuple[Counter[tuple[str, str]], dict[str, Counter[tuple[str, str]]]]:
    """Sockets of a run while it trains; what others can reach, by when and where."""
    make_folder(folder, STEPS)
    temporary = folder / "t"
    temporary.mkdir()
    before = set(os.listdir("/dev/shm"))
    os.environ.update(RAY_TMPDIR=str(temporary), TMPDIR=str(temporary))
    run = Run(folder, "out", *flags)
    run.wait_for_step(2)
    sockets = listening(run.process.pid)
    files = {"running: temporary files": reachable(temporary)}
    shared: Counter[tuple[str, str]] = Counter()
    for name in set(os.listdir("/dev/shm")) - before:
        mode = os.lstat(f"/dev/shm/{name}").st_mode
        if mode & OPEN_TO_OTHERS:
            shared["shared memory", oct(stat.S_IMODE(mode))[2:]] += 1
    files["running: shared memory"] = shared
    run.end()
    files["after: temporary files"] = reachable(temporary)
    for part in ("out", "out_ckpt"):
        files[f"after: {part}"] = reachable(folder / part)
    return sockets, files


def main(argv: list[str]) -> int:
    sockets, files = look(Path(argv[0]), *argv[1:])
    for (title, address), count in sorted(sockets.items()):
        print(f"{title}\t{address}\t{count} sockets")
    for where, found in files.items():
        print(f"{where}: {', '.join(f'{n} {kind} {mode}' for (kind, mode), n in sorted(found.items())) or 'nothing'}")
    return 1 if any(address not in LOOPBACK for _, address in sockets) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
