import gzip
import json
import os
from pathlib import Path

import pytest

from openrlhf.grading import GradingPool
from openrlhf.grading.extraction.boxes import find_boxes


@pytest.fixture(scope="session")
def pool():
    with GradingPool(workers=1, timeout=60.0) as pool:
        yield pool


@pytest.fixture(scope="session")
def math_answers() -> list[str]:
    """The last box of every solution of MATH, in the order of the files, without empty ones."""
    if "INTRO_DATA_DIR" not in os.environ:
        pytest.skip("INTRO_DATA_DIR is not set: it names the folder with hendrycks_math_{train,test}.jsonl.gz")
    answers = []
    for split in ("train", "test"):
        path = Path(os.environ["INTRO_DATA_DIR"]) / f"hendrycks_math_{split}.jsonl.gz"
        for line in gzip.decompress(path.read_bytes()).decode().split("\n"):
            if line:
                answers.append(find_boxes(json.loads(line)["solution"])[-1].content)
    return [answer for answer in answers if answer]
