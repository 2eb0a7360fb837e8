"""Token pictures as one HTML page that loads nothing."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from openrlhf.utils.pages import script_data, write_page
from openrlhf.view.token_picture import Picture

_NOTE = (
    "Orange tokens are likelier once the answer is known (log w > 0), blue ones less likely. Point at a token for its"
    " numbers, click to hold it, ← and → move on, Escape lets go. q: policy; p: the same context with the answer in the"
    " hint; w = p/q, cut as in the loss."
)


def write_pictures(path: Path, title: str, pictures: Sequence[Sequence[Picture]]) -> None:
    """pictures: of each case those of one model, or of two side by side."""
    cases = []
    for own in pictures:
        said = [picture.as_json() for picture in own]
        shared = {name: said[0].get(name) for name in ("title", "prompt", "answer", "wrong_answer", "right")}
        cases.append(
            {**shared, "pictures": [{name: one[name] for name in ("model", "means", "tokens")} for one in said]}
        )
    template = files("openrlhf.view").joinpath("explain.html").read_text(encoding="utf-8")
    write_page(path, template, {"title": escape(title), "note": escape(_NOTE), "data": script_data(cases)})
