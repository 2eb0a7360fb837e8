"""What the tests of the evaluation share: a scripted engine, a tokenizer of characters, a fake model."""

import json
from collections.abc import Callable
from pathlib import Path

from openrlhf.rollout.engine import Completion


class CharacterTokenizer:
    """One token per character; its end-of-sequence token is `<|endoftext|>`."""

    chat_template = None
    all_special_tokens = ["<|endoftext|>"]

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [ord(c) for c in text]}

    def get_added_vocab(self):
        return {"<|im_end|>": 7}

    def convert_tokens_to_ids(self, token):
        return {"<|endoftext|>": 3, "<|im_end|>": 7}[token]


class ScriptedEngine:
    """Answers a prompt by `script(prompt, sample)` → text; remembers every request.

    A text that ends in "…" counts as cut off. `dies_after`: the engine fails after so many completions.
    """

    def __init__(self, script: Callable[[str, int], str], dies_after: int | None = None) -> None:
        self.script = script
        self.dies_after = dies_after
        self.requests: list = []
        self.samplings: list = []
        self.given = 0
        self.closed = False

    def generate(self, requests, sampling):
        self.requests += requests
        self.samplings.append(sampling)
        # Backwards, to show that the order of finishing does not matter.
        for request in reversed(requests):
            if self.given == self.dies_after:
                raise RuntimeError("the engine died")
            self.given += 1
            text = self.script("".join(map(chr, request.prompt_ids)), request.key[1])
            reason = "length" if text.endswith("…") else "stop"
            yield [Completion(request.key, tuple(range(len(text))), (0.0,) * len(text), reason, text)]

    def sleep(self, keep_weights):
        pass

    def wake_weights(self):
        pass

    def wake_cache(self):
        pass

    def shutdown(self):
        self.closed = True


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def fake_model(folder: Path) -> Path:
    """A folder that looks like a model; no test loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 4096}')
    (folder / "model.safetensors").write_bytes(b"weights of the fake model")
    return folder
