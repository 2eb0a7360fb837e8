"""Where samples are kept, so that nothing that was generated is ever generated twice.

While a set runs, every finished sample is appended to `{stem}.partial.jsonl`, whose first line holds the
settings. When it is complete the problems are written to `{stem}.jsonl` (one line each, the reference's field
names), the figures to `{stem}_{prompt}_metrics.json`, and the partial file goes.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from openrlhf.errors import UserError

PARTIAL = ".partial.jsonl"


@dataclass(frozen=True)
class Sample:
    """One response.

    tokens: its length in tokens, end-of-sequence included. finish_reason: "stop", "length" (cut off), or
    "prompt_too_long" (nothing was generated). report: what running its programs gave, where programs are run.
    """

    text: str
    tokens: int | None
    finish_reason: str
    report: str = ""


@dataclass(frozen=True)
class Paths:
    """The three files of one set."""

    folder: Path
    stem: str
    prompt_type: str

    @property
    def samples(self) -> Path:
        return self.folder / f"{self.stem}.jsonl"

    @property
    def partial(self) -> Path:
        return self.folder / f"{self.stem}{PARTIAL}"

    @property
    def metrics(self) -> Path:
        return self.folder / f"{self.stem}_{self.prompt_type}_metrics.json"


class Journal:
    """The samples of one set as they come in.

    Opening it reads what an earlier run left; a last line that a crash cut off is dropped. Raises UserError
    where that run had other settings, naming them.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.samples: dict[tuple[int, int], Sample] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        try:
            self._lock()
            end = self._read(dict(settings))
            self._file.truncate(end)
            self._file.seek(end)
            if end == 0:
                self._write([{"settings": dict(settings)}])
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        """One run at a time; the lock goes with the process, however that ends."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another run is writing {self.path}; wait for it, or give another --output_dir") from error

    def _read(self, settings: dict[str, Any]) -> int:
        """Takes over complete lines; returns where they end."""
        content = self._file.read()
        end = content.rfind(b"\n") + 1
        lines = content[:end].decode("utf-8").split("\n")[:-1]
        if not lines:
            return 0
        try:
            found = json.loads(lines[0])["settings"]
            for line in lines[1:]:
                row = json.loads(line)
                key = (row.pop("idx"), row.pop("sample"))
                self.samples[key] = Sample(**row)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{self.path} is damaged ({error}); --overwrite starts the set anew") from error
        refuse_other_settings(found, settings, self.path)
        return end

    def append(self, samples: Mapping[tuple[int, int], Sample]) -> None:
        """Keeps samples by (problem, sample); they are out of this process when it returns."""
        self._write({"idx": i, "sample": s, **asdict(value)} for (i, s), value in samples.items())
        self.samples.update(samples)

    def _write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._file.write("".join(dump(row) + "\n" for row in rows).encode("utf-8"))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def refuse_other_settings(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Raises UserError where samples were made with settings other than the ones asked for now."""
    # The path of a model does not matter; its fingerprint does.
    different = [n for n in wanted if n != "model_name_or_path" and found.get(n) != wanted[n]]
    if different:
        listed = "; ".join(f"{name} was {found.get(name)!r}, is now {wanted[name]!r}" for name in different)
        raise UserError(
            f"{path} was made with other settings: {listed}. Use --overwrite to start anew or another --output_dir"
        )


def dump(row: Mapping[str, Any]) -> str:
    """One line of JSON; U+2028 and the like are escaped, so that every reader sees one line."""
    text = json.dumps(row, ensure_ascii=False)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The problems of a finished set. Raises UserError where the file is missing or damaged."""
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            return [json.loads(line) for line in file if line.strip()]
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read stored samples in {path}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The figures of a finished set. Raises UserError where the file is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read stored figures in {path}: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} does not hold the figures of a set (a JSON object)")
    return value


@contextmanager
def atomically(path: Path) -> Iterator[IO[str]]:
    """A text file that is there completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with atomically(path) as file:
        file.writelines(dump(row) + "\n" for row in rows)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    with atomically(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.write("\n")
