"""Training on fixed data."""

from dataclasses import dataclass

from openrlhf.config.method import OfflineMethodConfig
from openrlhf.config.settings import section, setting
from openrlhf.config.training import TrainConfig


@dataclass(frozen=True)
class DatasetConfig:
    dataset: str | None = setting(
        None,
        "Data: files (json, jsonl, csv, parquet), save_to_disk folders or hub names, separated by commas; name@folder"
        " names a folder inside the data set.",
    )
    dataset_probs: str = setting("1.0", "Share of each source of --dataset, separated by commas.")
    train_split: str = setting("train", "Split of --dataset to train on.")
    eval_split: str = setting("test", "Split of --dataset to evaluate on.")
    max_samples: int = setting(1e8, "Use at most so many samples, from the front.", at_least=1)
    max_len: int = setting(
        2048,
        "Longest sample in tokens, prompt and response together; longer ones are cut and counted.",
        at_least=1,
    )


@dataclass(frozen=True, kw_only=True)
class OfflineConfig(TrainConfig):
    """A run on fixed data."""

    data: DatasetConfig = section(DatasetConfig, "Data")
    method: OfflineMethodConfig
