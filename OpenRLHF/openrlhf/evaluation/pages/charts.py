"""Drawings for the report: SVG as text, every label escaped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A6A00", "#555555")
_LABEL_WIDTH = 150
_PLOT_WIDTH = 560
_VALUE_WIDTH = 70


@dataclass(frozen=True)
class Bar:
    """A value with its interval; series chooses the colour."""

    series: int
    label: str
    value: float
    low: float
    high: float


def colour(series: int) -> str:
    return COLOURS[series % len(COLOURS)]


def legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<span class="key"><i style="background:{colour(i)}"></i>{escape(name)}</span>' for i, name in enumerate(names)
    )
    return f'<p class="legend">{items}</p>'


def bars(groups: Sequence[tuple[str, Sequence[Bar]]], low: float = 0.0, high: float = 1.0) -> str:
    """Horizontal bars in per cent, grouped, with intervals as whiskers; low is negative for differences."""
    many = sum(len(group) for _, group in groups) > 40
    thick, gap, between, top = (9, 2, 10, 8) if many else (14, 3, 14, 8)
    height = top + sum(len(group) * (thick + gap) + between for _, group in groups) + 22

    def x(value: float) -> float:
        return _LABEL_WIDTH + (min(max(value, low), high) - low) / (high - low) * _PLOT_WIDTH

    parts = _axis(low, high, x, top, height - 24)
    y = float(top)
    for name, group in groups:
        middle = y + len(group) * (thick + gap) / 2
        parts.append(
            f'<text x="{_LABEL_WIDTH - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(_short(name, 22))}</text>'
        )
        for bar in group:
            parts.append(_bar(bar, x, y, thick, x(max(low, 0.0))))
            y += thick + gap
        y += between
    kind = "small" if many else ""
    return _svg(_LABEL_WIDTH + _PLOT_WIDTH + _VALUE_WIDTH, height, parts, kind)


def _bar(bar: Bar, x, y: float, thick: int, zero: float) -> str:
    left, right = min(zero, x(bar.value)), max(zero, x(bar.value))
    centre = y + thick / 2
    title = f"{bar.label}: {100 * bar.value:.1f}% ({100 * bar.low:.1f} – {100 * bar.high:.1f})"
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{max(right - left, 1):.1f}" height="{thick}" rx="2" '
        f'fill="{colour(bar.series)}"/>'
        f'<path class="whisker" d="M{x(bar.low):.1f} {centre:.1f}H{x(bar.high):.1f}'
        f'M{x(bar.low):.1f} {centre - 4:.1f}v8M{x(bar.high):.1f} {centre - 4:.1f}v8"/>'
        f'<text class="value" x="{max(x(bar.high), right) + 6:.1f}" y="{centre + 4:.1f}">'
        f"{100 * bar.value:.1f}</text></g>"
    )


def _axis(low: float, high: float, x, top: float, bottom: float) -> list[str]:
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 10)
    ticks = [round(i * step, 4) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return [
        f'<path class="grid{" zero" if tick == 0 else ""}" d="M{x(tick):.1f} {top}V{bottom}"/>'
        f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">'
        f"{100 * tick:.0f}%</text>"
        for tick in ticks
    ]


def lengths(series: Sequence[tuple[int, str, Sequence[int]]]) -> str:
    """How long responses are, in tokens: the share of responses in each of 24 bins, one line per series."""
    width, height, left, bottom, top = 360, 170, 44, 28, 10
    longest = max((max(values) for _, _, values in series if values), default=1)
    bins = 24
    size = max(1, math.ceil((longest + 1) / bins))
    shares = [(i, name, _histogram(values, size, bins)) for i, name, values in series if values]
    tallest = max((max(histogram) for _, _, histogram in shares), default=1.0)

    def point(i: int, share: float) -> str:
        x = left + i / bins * (width - left - 12)
        return f"{x:.1f} {height - bottom - share / tallest * (height - bottom - top):.1f}"

    parts = [
        f'<path class="axis" d="M{left} {top}V{height - bottom}H{width - 12}"/>',
        f'<text class="tick" x="{left - 6}" y="{top + 8}" text-anchor="end">{100 * tallest:.0f}%</text>',
        f'<text class="tick" x="{left - 6}" y="{height - bottom}" text-anchor="end">0</text>',
        f'<text class="tick" x="{left}" y="{height - bottom + 16}">0</text>',
        f'<text class="tick" x="{width - 12}" y="{height - bottom + 16}" text-anchor="end">{size * bins} tokens</text>',
    ]
    for i, name, histogram in shares:
        steps = "".join(f"L{point(b, share)}L{point(b + 1, share)}" for b, share in enumerate(histogram))
        outline = f"M{point(0, 0)}{steps}L{point(bins, 0)}"
        parts.append(
            f'<path d="{outline}" fill="{colour(i)}" fill-opacity=".12" stroke="{colour(i)}" '
            f'stroke-width="1.6">'
            f"<title>{escape(name)}</title></path>"
        )
    return _svg(width, height, parts)


def _histogram(values: Sequence[int], size: int, bins: int) -> list[float]:
    counts = [0] * bins
    for value in values:
        counts[min(value // size, bins - 1)] += 1
    return [count / len(values) for count in counts]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _svg(width: int, height: float, parts: Sequence[str], kind: str = "") -> str:
    size = f'viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}"'
    return f'<svg class="{kind}" {size} role="img" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
