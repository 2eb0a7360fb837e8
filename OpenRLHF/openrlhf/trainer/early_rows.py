"""A first look at the prompts, before torch is imported: most of what can be wrong with data needs no tokenizer."""

import json
from pathlib import Path

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.plan import check_context
from openrlhf.config.reinforcement import RLConfig
from openrlhf.datasets.blending import parse_probabilities, source_names
from openrlhf.datasets.files import Record, is_data_file
from openrlhf.datasets.prompts import as_text, field, read_label
from openrlhf.datasets.sources import load_records
from openrlhf.datasets.templates import as_messages

_LARGEST = 100_000_000  # bytes: reading a larger file twice would take longer than torch


def check_prompts(config: RLConfig) -> None:
    """UserError: a file, row or field that `preparation` would refuse."""
    data = config.data
    context = _context(Path(str(config.model.pretrain)))
    if context is not None:
        check_context(config, context)
    parse_probabilities(data.prompt_data_probs, source_names(str(data.prompt_data)))
    if config.evaluation.eval_dataset:
        _rows(config.evaluation.eval_dataset)
    for number, record in enumerate(_rows(str(data.prompt_data))):
        content = field(record, data.input_key, "--input_key", number)
        if data.apply_chat_template:
            as_messages(content, data.input_key, number)
        else:
            as_text(content, data.input_key, number)
        read_label(record, data.label_key, number)


def check_file(config: OfflineConfig) -> None:
    """UserError: a file that cannot be read; its fields are the method's."""
    parse_probabilities(config.data.dataset_probs, source_names(str(config.data.dataset)))
    _rows(str(config.data.dataset))


def _context(model: Path) -> int | None:
    """Where a plain configuration says it; others are left to transformers."""
    try:
        found = json.loads((model / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def _rows(source: str) -> list[Record]:
    """Of a single file that is not too large; others are left to the reader that knows them."""
    path = Path(source).expanduser()
    if not is_data_file(source) or ("," in source and not path.exists()):
        return []
    if path.is_file() and path.stat().st_size > _LARGEST:
        return []
    return load_records(source)
