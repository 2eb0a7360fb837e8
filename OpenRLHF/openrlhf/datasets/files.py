"""Reads one local data file into a list of records (dictionaries).

JSON and CSV are read by Python's own readers rather than through Arrow: no type is guessed from a column (an
answer "0.50" stays a text), lines end at "\\n" only (texts may contain U+2028), and an error names the line.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError

Record = dict[str, Any]
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")


def is_data_file(name: str) -> bool:
    """Whether `name` ends like a file this module reads; text formats may be gzipped (`.gz`)."""
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_file(path: Path) -> list[Record]:
    """All rows of a .json, .jsonl, .ndjson, .csv (each also .gz) or .parquet file.

    .json: one array of objects, or JSON lines. UserError: the file is missing, damaged, empty or of a kind
    that is not read.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; check the path")
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind not in SUFFIXES:
        raise UserError(f"{path}: this kind of file is not read; convert it to one of {', '.join(SUFFIXES)}")
    rows = _read_parquet(path) if kind == ".parquet" else _parse(path, kind, read_text(path))
    if not rows:
        raise UserError(f"{path}: the file has no rows")
    return rows


def read_text(path: Path) -> str:
    """The file's text, UTF-8 with or without a byte-order mark, decompressed where the name ends in .gz."""
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); convert it to UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def _parse(path: Path, kind: str, text: str) -> list[Record]:
    if kind == ".csv":
        return _parse_csv(path, text)
    if kind == ".json" and text.lstrip()[:1] == "[":
        rows = _json(text, f"{path}, line {{line}}")
        return [_record(row, f"{path}, element {number}") for number, row in enumerate(rows)]
    return list(_parse_lines(path, text))


def _parse_lines(path: Path, text: str) -> Iterator[Record]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield _record(_json(line, where, "; every line must hold one object"), where)


def _json(text: str, where: str, advice: str = "") -> Any:
    """where: may have a {line}, that of the error."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where.replace('{line}', str(error.lineno))}: not JSON ({error.msg}){advice}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise UserError(f"{where.replace('{line}', '1')}: cannot be read as JSON ({error})") from error


def _parse_csv(path: Path, text: str) -> list[Record]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    shorter_limit = csv.field_size_limit(max(len(text), 1))
    try:
        for row in reader:
            if None in row or None in row.values():
                raise UserError(
                    f"{path}, line {reader.line_num}: not as many fields as the header has; quote texts that"
                    " contain commas or line breaks"
                )
            rows.append(dict(row))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV ({error})") from error
    finally:
        csv.field_size_limit(shorter_limit)
    return rows


def _read_parquet(path: Path) -> list[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error})") from error


def _record(row: Any, where: str) -> Record:
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected an object with named fields, found {type(row).__name__}")
    return row
