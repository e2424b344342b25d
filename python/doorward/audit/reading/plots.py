"""Plots over time as SVG: no script, no network, nothing that a browser has to be asked for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Series", "plot"]

_WIDTH: Final = 960
_HEIGHT: Final = 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 28
_LABEL_WIDTH: Final = 110
"""Between two times below the plot, at least."""

_NICE_STEPS: Final = (1, 5, 15, 60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Seconds between two labels; beyond them, whole days."""


@dataclass(frozen=True, slots=True)
class Series:
    """One value a slice of time; None where there is none."""

    name: str
    style: str
    """The class that gives it its colour."""
    values: Sequence[float | None]
    as_line: bool = False
    """Instead of bars, which stand on each other."""


def plot(
    title: str, starts: Sequence[int], step: int, series: Sequence[Series], *, written: Callable[[float], str]
) -> str:
    """A plot of slices that begin at ``starts`` and last ``step`` seconds; ``written`` spells a value."""
    top = _round_up(_highest(series))
    scale = _Scale(starts[0], starts[-1] + step, top)
    body = [
        *_grid(scale, written),
        *_times(scale),
        *_bars([each for each in series if not each.as_line], starts, step, scale),
        *(_line(each, starts, step, scale) for each in series if each.as_line),
        *_hints(series, starts, step, scale, written),
    ]
    label = escape(f"{title}: {', '.join(each.name for each in series)}")
    legend = "".join(f'<span class="key {each.style}">{escape(each.name)}</span>' for each in series)
    return (
        f'<figure><figcaption><h3>{escape(title)}</h3><span class="legend">{legend}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(body)}</svg></figure>'
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    begins: int
    ends: int
    top: float

    def x(self, moment: float) -> float:
        return _LEFT + (moment - self.begins) / (self.ends - self.begins) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.top * (_HEIGHT - _TOP - _BOTTOM)


def _highest(series: Sequence[Series]) -> float:
    bars = [each.values for each in series if not each.as_line]
    stacked = [sum(value or 0 for value in values) for values in zip(*bars, strict=True)]
    lines = [value for each in series if each.as_line for value in each.values if value is not None]
    return max([*stacked, *lines, 0])


def _round_up(value: float) -> float:
    """The next number with four quarters that people can read."""
    if value <= 0:
        return 4.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value)


def _grid(scale: _Scale, written: Callable[[float], str]) -> Iterator[str]:
    for quarter in range(5):
        value = scale.top * quarter / 4
        y = scale.y(value)
        style = "axis" if quarter == 0 else "grid"
        yield f'<line class="{style}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(written(value))}</text>'


def _times(scale: _Scale) -> Iterator[str]:
    length = scale.ends - scale.begins
    labels = (_WIDTH - _LEFT - _RIGHT) // _LABEL_WIDTH
    step = next((each for each in _NICE_STEPS if length / each <= labels), 0)
    step = step or math.ceil(length / labels / 86_400) * 86_400
    form = "%d %b" if step >= 86_400 else "%H:%M:%S" if step < 60 else "%H:%M"
    day = ""
    for moment in range(-(-scale.begins // step) * step, scale.ends, step):
        x, at = scale.x(moment), time.gmtime(moment)
        today = time.strftime("%d %b", at)
        text = time.strftime(form, at)
        if step < 86_400 and today != day:
            text, day = f"{today} {text}", today
        y = _HEIGHT - _BOTTOM
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 4}"/>'
        yield f'<text x="{x:.1f}" y="{y + 19}" text-anchor="middle">{text}</text>'


def _bars(series: Sequence[Series], starts: Sequence[int], step: int, scale: _Scale) -> Iterator[str]:
    """One path a series: a page of a thousand rectangles is slow to open."""
    below = [0.0] * len(starts)
    for each in series:
        path = []
        for position, (start, value) in enumerate(zip(starts, each.values, strict=True)):
            if not value:
                continue
            left, right = scale.x(start), scale.x(start + step)
            gap = min(1.0, (right - left) * 0.15)
            lower, upper = scale.y(below[position]), scale.y(below[position] + value)
            path.append(f"M{left:.1f} {lower:.1f}V{upper:.1f}H{right - gap:.1f}V{lower:.1f}Z")
            below[position] += value
        if path:
            yield f'<path class="bar {each.style}" d="{"".join(path)}"/>'


def _line(series: Series, starts: Sequence[int], step: int, scale: _Scale) -> str:
    path, drawing = [], False
    for start, value in zip(starts, series.values, strict=True):
        if value is None:
            drawing = False
            continue
        point = f"{scale.x(start + step / 2):.1f} {scale.y(value):.1f}"
        # A value between two holes would have no length: a round cap makes a dot of it.
        path.append(f"L{point}" if drawing else f"M{point}h0")
        drawing = True
    return f'<path class="line {series.style}" d="{"".join(path)}"/>'


def _hints(
    series: Sequence[Series], starts: Sequence[int], step: int, scale: _Scale, written: Callable[[float], str]
) -> Iterator[str]:
    """What the pointer shows."""
    for position, start in enumerate(starts):
        told = [f"{each.name}: {written(value)}" for each in series if (value := each.values[position]) is not None]
        x, width = scale.x(start), scale.x(start + step) - scale.x(start)
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(start))
        yield (
            f'<rect class="hint" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}">'
            f"<title>{escape(chr(10).join([when, *told]))}</title></rect>"
        )
