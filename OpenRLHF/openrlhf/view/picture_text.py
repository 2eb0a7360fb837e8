"""Token pictures for a terminal: coloured where it has colours, with the numbers of the tokens that stand out."""

from collections.abc import Sequence
from typing import Any

from openrlhf.utils.terminal import plain
from openrlhf.view.token_picture import Picture

# Backgrounds of a 256-colour terminal for tokens that the answer makes less and more likely, by _STEPS.
_LESS, _MORE = (224, 217, 210, 203), (194, 157, 120, 77)
_STEPS = (0.25, 0.75, 1.5, 3.0)  # nats
_SHOWN, _TELLING = 6, 0.05


def as_text(pictures: Sequence[Picture], colours: bool) -> str:
    """One case by one model, or by two (before and after)."""
    case = pictures[0].case
    verdict = {True: ", right", False: ", wrong", None: ""}[case.right]
    contrast = f"; contrast: {plain(case.wrong_answer)}" if case.wrong_answer else ""
    lines = [
        f"{case.title}{verdict}",
        f"  > {_line(case.prompt)}",
        f"  answer in the hint: {plain(case.answer)}{contrast}",
    ]
    for picture in pictures:
        lines += ["", f"  {picture.model}: {_summary(picture)}", _indented(_rationale(picture, colours))]
        lines += _strongest(picture)
    return "\n".join(lines) + "\n"


def _summary(picture: Picture) -> str:
    parts = [f"{len(picture.tokens)} tokens"]
    for name, label in (
        ("log_w", "log w"),
        ("kl", "KL"),
        ("entropy", "entropy"),
        ("log_w_wrong", "log w with the wrong answer"),
    ):
        if any(token.get(name) is not None for token in picture.tokens):
            parts.append(f"{label} {picture.mean(name):+.3f}" if "w" in label else f"{label} {picture.mean(name):.3f}")
    return ", ".join(parts) + " (means, nats)"


def _rationale(picture: Picture, colours: bool) -> str:
    """With colours each token has its background; without, those beyond the second step carry their number."""
    parts = []
    for token in picture.tokens:
        text, log_w = plain(token["text"]), token["log_w"]
        step = -1 if log_w is None else sum(abs(log_w) >= limit for limit in _STEPS) - 1
        if step < 0:
            parts.append(text)
        elif colours:
            shade = (_MORE if log_w > 0 else _LESS)[step]
            parts.append(
                "\n".join(f"\x1b[48;5;{shade};38;5;16m{part}\x1b[0m" if part else "" for part in text.split("\n"))
            )
        else:
            parts.append(f"{text}⟨{log_w:+.1f}⟩" if step >= 1 else text)
    return "".join(parts)


def _strongest(picture: Picture) -> list[str]:
    known = [(t, token) for t, token in enumerate(picture.tokens) if token["log_w"] is not None]
    known.sort(key=lambda pair: pair[1]["log_w"])
    lines = []
    for title, chosen in (
        ("likelier with the answer", [pair for pair in reversed(known) if pair[1]["log_w"] > _TELLING][:_SHOWN]),
        ("less likely", [pair for pair in known if pair[1]["log_w"] < -_TELLING][:_SHOWN]),
    ):
        if chosen:
            lines.append(f"  {title}:")
            lines += [f"    {_described(t, token)}" for t, token in chosen]
    return lines


def _described(t: int, token: dict[str, Any]) -> str:
    rather = ", ".join(f"{_quoted(one['text'])} {one['p']:.0%}" for one in token["preferred"][:3])
    chances = f"q {_chance(token['log_q'])} → p {_chance(token['log_p'])}"
    return f"{t:>4} {_quoted(token['text']):<14} log w {token['log_w']:+.2f}  {chances}  the posterior: {rather}"


def _chance(log: float) -> str:
    return f"{100 * 2.718281828459045**log:.3g}%"


def _quoted(text: str) -> str:
    return '"' + plain(text).replace("\n", "⏎").replace("\t", "⇥") + '"'


def _line(text: str) -> str:
    return plain(text if len(text) <= 500 else text[:500] + " …").replace("\n", "\n    ")


def _indented(text: str) -> str:
    return "    " + text.replace("\n", "\n    ")
