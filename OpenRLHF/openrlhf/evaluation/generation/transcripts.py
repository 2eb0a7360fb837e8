"""Programs inside responses: finding them, and the outputs that were written behind them."""

import re

_BLOCK = re.compile(r"```(?P<kind>\w*)[ \t]*\n(?P<body>.*?)(?:\n```|\Z)", re.DOTALL)
OUTPUT_LIMIT = 2000


def program_to_run(text: str) -> str | None:
    """The Python of the last block, where the response ends with it and awaits its output; None otherwise."""
    blocks = list(_BLOCK.finditer(text.rstrip()))
    if not blocks or blocks[-1]["kind"].lower() not in ("python", "py", "python3"):
        return None
    return blocks[-1]["body"] if not text[blocks[-1].end() :].strip() else None


def with_output(text: str, output: str) -> str:
    """The response with what its last program printed behind it, closed for the model to go on."""
    if len(output) > OUTPUT_LIMIT:
        output = f"{output[: OUTPUT_LIMIT // 2]}\n…\n{output[-OUTPUT_LIMIT // 2 :]}"
    closed = text.rstrip()
    if closed.count("```") % 2:
        closed += "\n```"
    return f"{closed}\n```output\n{output.strip()}\n```\n"


def answer_of_programs(text: str) -> str | None:
    """The last line of the last output, the answer of a response that says it with a program alone."""
    outputs = [match["body"].strip() for match in _BLOCK.finditer(text) if match["kind"] == "output"]
    return outputs[-1].split("\n")[-1].strip() or None if outputs else None
