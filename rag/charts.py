"""Figures as pictures: a dot for each mean, and a line for its interval.

``page`` makes one HTML file that needs nothing else and follows the reader's light or dark;
``save_png`` draws the same with matplotlib, which ``rag[notebooks]`` brings.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rag.errors import require
from rag.evaluation import Estimate

Panels = Mapping[str, Mapping[str, Sequence[Estimate]]]
"""Heading of a panel -> label of a line -> an estimate for each run, one or two."""

_LABELS, _SCALE, _LINE, _TOP = 300, 420, 34, 28
"""Pixels: the columns of labels and of the scale, the height of a line, the room above."""
_MEANS = _LABELS + _SCALE + 16
"""Where the means stand as numbers."""
_TICKS = (0, 0.25, 0.5, 0.75, 1)
_COLOURS = ("#3465a4", "#c4720a")
"""Of the first and second run; told apart in grey and by colour-blind readers too."""
_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin: 1.8rem 0 .2rem }
svg { width: 100%; height: auto } text { fill: currentColor; font-size: 14px }
.faint { opacity: .6; font-size: 12px } .grid { stroke: currentColor; opacity: .18 }
"""


def page(title: str, panels: Panels, *, runs: Sequence[str], note: str = "") -> str:
    """Make an HTML page with one picture a panel.

    Parameters
    ----------
    panels : all values from 0 to 1; others are left out by the caller.
    runs : what each estimate of a line belongs to.
    note : a sentence below.
    """
    legend = "".join(
        f'<span style="color:{colour}">●</span> {escape(run)} '
        for run, colour in zip(runs, _COLOURS, strict=False)
    )
    body = "".join(
        f"<h2>{escape(heading)}</h2>\n{_picture(heading, lines)}\n"
        for heading, lines in panels.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n<p>{legend}</p>\n{body}<p>{escape(note)}</p></body></html>\n"
    )


def _picture(heading: str, lines: Mapping[str, Sequence[Estimate]]) -> str:
    height = _TOP + _LINE * len(lines)
    parts = [
        f'<line class="grid" x1="{_x(tick)}" x2="{_x(tick)}" y1="{_TOP - 6}" y2="{height}"/>'
        f'<text class="faint" x="{_x(tick)}" y="14" text-anchor="middle">{tick:g}</text>'
        for tick in _TICKS
    ]
    for place, (label, estimates) in enumerate(lines.items()):
        middle = _TOP + _LINE * place + _LINE / 2
        parts.append(f'<text x="0" y="{middle + 5}">{escape(label)}</text>')
        for run, found in enumerate(estimates):
            y = middle + _offset(run, len(estimates)) * _LINE
            parts.append(
                f"<g><title>{found.mean:.3f}, 95 % interval {found.low:.3f} to {found.high:.3f}, "
                f"{found.n} questions</title>"
                f'<line x1="{_x(found.low)}" x2="{_x(found.high)}" y1="{y}" y2="{y}" '
                f'stroke="{_COLOURS[run]}" stroke-width="3" stroke-linecap="round"/>'
                f'<circle cx="{_x(found.mean)}" cy="{y}" r="5.5" fill="{_COLOURS[run]}"/></g>'
                f'<text class="faint" x="{_MEANS}" y="{y + 4}">{found.mean:.3f}</text>'
            )
    width = _MEANS + 44
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(heading)}">'
        f"{''.join(parts)}</svg>"
    )


def _x(value: float) -> float:
    return round(_LABELS + _SCALE * value, 1)


def _offset(run: int, n_runs: int) -> float:
    """Part the runs of a line, in heights of a line."""
    return 0.36 * (run - (n_runs - 1) / 2)


def save_png(path: Path, title: str, panels: Panels, *, runs: Sequence[str]) -> None:
    """Draw the panels below each other into a PNG file.

    Raises
    ------
    MissingDependency
        matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    require("matplotlib", extra="notebooks")
    figure_of = require("matplotlib.figure", extra="notebooks")
    heights = [len(lines) for lines in panels.values()]
    height = 1 + sum(0.4 * n + 0.7 for n in heights)
    figure: Any = figure_of.Figure(figsize=(9, height))
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (heading, lines) in zip(axes, panels.items(), strict=True):
        for place, estimates in enumerate(lines.values()):
            for run, found in enumerate(estimates):
                y = place + _offset(run, len(estimates))
                label = runs[run] if place == 0 and axis is axes[0] else None
                axis.plot([found.low, found.high], [y, y], color=_COLOURS[run], linewidth=2.5)
                axis.plot([found.mean], [y], "o", color=_COLOURS[run], label=label)
        axis.set_title(heading, loc="left", fontsize="medium")
        axis.set(xlim=(-0.02, 1.02), yticks=range(len(lines)), yticklabels=list(lines))
        axis.set_ylim(len(lines) - 0.5, -0.5)
        axis.grid(axis="x", alpha=0.3)
    figure.suptitle(title, x=0.02, horizontalalignment="left")
    if len(runs) > 1:
        figure.legend(loc="upper right")
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.6 / height))
    figure.savefig(path, dpi=150)
