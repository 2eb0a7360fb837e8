"""A first look at the prompts, before torch is imported: most of what can be wrong with data needs no tokenizer."""

from pathlib import Path

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.reinforcement import RLConfig
from openrlhf.datasets.files import Record, is_data_file
from openrlhf.datasets.prompts import as_text, field, read_label
from openrlhf.datasets.sources import load_records
from openrlhf.datasets.templates import as_messages

_LARGEST = 100_000_000  # bytes: reading a larger file twice would take longer than torch


def check_prompts(config: RLConfig) -> None:
    """UserError: a file, row or field that `preparation` would refuse."""
    data = config.data
    for number, record in enumerate(_rows(str(data.prompt_data))):
        content = field(record, data.input_key, "--input_key", number)
        if data.apply_chat_template:
            as_messages(content, data.input_key, number)
        else:
            as_text(content, data.input_key, number)
        read_label(record, data.label_key, number)


def check_file(config: OfflineConfig) -> None:
    """UserError: a file that cannot be read; its fields are the method's."""
    _rows(str(config.data.dataset))


def _rows(source: str) -> list[Record]:
    """Of a single file that is not too large; others are left to the reader that knows them."""
    path = Path(source).expanduser()
    if not is_data_file(source) or ("," in source and not path.exists()):
        return []
    if path.is_file() and path.stat().st_size > _LARGEST:
        return []
    return load_records(source)
