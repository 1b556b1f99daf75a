"""Figures as people read them: means with their intervals, runs side by side, settings tried."""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from rag.evaluation import CONFIDENCE, Comparison, Estimate, Row, by_type, summarize
from rag.measuring import label_of
from rag.terminal import Screen, number
from rag.tuning import Changes, Tuning

_BAR = 21
"""Columns of the scale from 0 to 1: a step is .05."""
_NEARLY_ALL = 0.97
"""Of the evidence: what is missing then is one question in thirty, fewer than an interval tells."""
_FAINT, _GOOD, _WRONG, _BOLD = "dim", "green", "red", "bold"
_IN_SHORT = ("recall@", "all_evidence@", "answer_contained", "refused")
"""What a table by type shows; ``--json`` has everything."""


def print_figures(screen: Screen, rows: Sequence[Row]) -> None:
    """Print every figure with its interval, drawn on a scale from 0 to 1."""
    found = summarize(rows)
    labels = {figure: label_of(figure) for figure in found}
    width = max(map(cell_len, labels.values()), default=0)
    head = f"{'':<{width}}   mean   {CONFIDENCE:.0%} interval"
    screen.line((f"{head}  {'0':<{_BAR - 1}}1", _FAINT))
    for figure, each in found.items():
        bar = _bar(each) if each.high <= 1 else ""
        screen.line(
            f"{labels[figure]:<{width}}  ",
            (f"{each.mean:5.3f}", _BOLD),
            (f"   {each.low:5.3f} – {each.high:5.3f}  ", _FAINT),
            bar,
        )


def _bar(found: Estimate) -> str:
    """Draw a mean and its interval: ``···├──●──┤····``."""
    first, middle, last = (
        round(value * (_BAR - 1)) for value in (found.low, found.mean, found.high)
    )
    cells = ["·"] * _BAR
    cells[first : last + 1] = "─" * (last + 1 - first)
    cells[first], cells[last] = "├", "┤"
    cells[middle] = "●"
    return "".join(cells)


def print_by_type(screen: Screen, rows: Sequence[Row]) -> None:
    """Print a line a type, a column a figure, each with half the width of its interval."""
    parted = {name: summarize(listed) for name, listed in by_type(rows).items()}
    figures = [f for f in summarize(rows) if f.startswith(_IN_SHORT)]
    width = max([4, *map(cell_len, parted)])
    columns = [max(11, len(figure)) for figure in figures]
    heads = "  ".join(f"{figure:>{size}}" for figure, size in zip(figures, columns, strict=True))
    screen.line()
    screen.line((f"{'type':<{width}}     n  {heads}", _FAINT))
    counts = {name: len(listed) for name, listed in by_type(rows).items()}
    for name, found in parted.items():
        cells = "  ".join(
            f"{_short(found.get(figure)):>{size}}"
            for figure, size in zip(figures, columns, strict=True)
        )
        screen.line(f"{name}{' ' * (width - cell_len(name))} {counts[name]:>5}  {cells}")


def _short(found: Estimate | None) -> str:
    return "" if found is None else f"{found.mean:.2f} ± {(found.high - found.low) / 2:.2f}"


def print_comparison(
    screen: Screen, comparisons: Sequence[Comparison], *, names: tuple[str, str]
) -> None:
    """Print two runs side by side, and what may be said of the second."""
    labels = [label_of(each.figure) for each in comparisons]
    width = max(map(cell_len, labels), default=0)
    screen.line((f"first   {names[0]}", _FAINT))
    screen.line((f"second  {names[1]}", _FAINT))
    screen.line()
    screen.line((f"{'':<{width}}   first  second", _FAINT))
    for label, each in zip(labels, comparisons, strict=True):
        style = (_GOOD if each.difference > 0 else _WRONG) if each.shown else _FAINT
        screen.line(
            f"{label:<{width}}   {each.first:5.3f}   {each.second:5.3f}  ", (each.verdict, style)
        )


def print_tuning(screen: Screen, found: Tuning, *, defaults: Mapping[str, object]) -> None:
    """Print what was tried, and whether the best of it holds.

    Parameters
    ----------
    defaults : the settings as they are, "section.key" -> value.
    """
    halves = f"{found.n_train} questions to choose by, {found.n_test} to check by"
    screen.line((f"{label_of(found.figure)} · {halves}", _FAINT))
    screen.line()
    best = max(trial.mean for trial in found.trials)
    for trial in found.trials:
        mark = "▸ " if trial.changes == found.chosen else "  "
        style = _BOLD if trial.mean == best else ""
        screen.line(mark, (f"{trial.mean:5.3f}", style), f"  {said(trial.changes)}")
    for key in found.left_out:
        screen.line(
            (f"  not tried: {key}, which questions that copy the text cannot judge", _FAINT)
        )
    screen.line()
    print_advice(screen, found, defaults=defaults)


def print_advice(screen: Screen, found: Tuning, *, defaults: Mapping[str, object]) -> None:
    """Print what to write into rag.toml, or that nothing is to be changed."""
    if found.check is None:
        screen.paragraph("Keep the settings: no other found more evidence.", style=_BOLD)
        if found.trials[0].mean >= _NEARLY_ALL:
            screen.paragraph(
                "As they are they find nearly all of it, so that hardly anything could show; a "
                "smaller --budget, or harder questions, would tell more.",
                style=_FAINT,
            )
        return
    means = f"{found.check.first:.3f} → {found.check.second:.3f}"
    line = f"On the other half {said(found.chosen)}: {means}, {found.check.verdict}."
    if not found.recommended:
        screen.paragraph(line)
        screen.paragraph("Keep the settings: no difference shown.", style=_BOLD)
        return
    screen.paragraph(line, style=_GOOD)
    screen.paragraph("Recommended, for rag.toml:", style=_BOLD)
    sections: dict[str, list[str]] = {}
    for name, value in found.recommended.items():
        section, _, key = name.partition(".")
        now = "default" if defaults[name] is None else defaults[name]
        sections.setdefault(section, []).append(f"{key} = {value}  # was {now}")
    for section, lines in sections.items():
        screen.line()
        screen.line(f"[{section}]")
        for each in lines:
            screen.line(each)
    screen.line()


def said(changes: Changes) -> str:
    """Write settings in one line."""
    return ", ".join(f"{key} = {value}" for key, value in changes.items()) or "as it is"


def print_made(screen: Screen, counts: Mapping[str, int], rejected: Mapping[str, int]) -> None:
    """Print how many questions were made of each type, and what was not taken."""
    for name, count in counts.items():
        screen.line(f"{count:>6}  {name}")
    for reason, count in rejected.items():
        screen.line((f"{count:>6}  not taken: {reason}", _FAINT))
    screen.line((number(sum(counts.values()), "question"), _BOLD))
