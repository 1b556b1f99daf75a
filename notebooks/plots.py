"""The figures of the notebooks, drawn with matplotlib; each function makes one and returns it.

Labels are in English: the fonts that come with matplotlib have no Chinese characters.
"""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rag import Chunk, Context, Document
from rag.types import Matrix, Span, Vector

INK, FAINT, GOLD = "#22313f", "#b8c2cc", "#e8a33d"
METHODS = {
    "truncation": "#9aa5b1",
    "dense": "#4c78a8",
    "lexical": "#59a14f",
    "fused": "#d1495b",
}
"""One colour for each way to choose what the model reads, the same in every figure."""
_TINTS = ("#dcebf7", "#fbe9d0", "#e3f1df", "#f6dfe4")
_COLUMNS = 96

plt.rcParams.update(
    {
        "figure.dpi": 110,
        "figure.facecolor": "white",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "xtick.color": INK,
        "ytick.color": INK,
        "font.size": 9,
        "svg.hashsalt": "rag",
    }
)


def page(document: Document, chunks: Sequence[Chunk], span: Span) -> Figure:
    """Set a stretch of a document as on a page, one tint a chunk."""
    rows: list[tuple[str, str]] = []
    shown = [chunk for chunk in chunks if chunk.start < span[1] and span[0] < chunk.end]
    for place, chunk in enumerate(shown):
        lines = [
            line
            for paragraph in document.text[chunk.start : chunk.end].split("\n")
            for line in textwrap.wrap(paragraph, _COLUMNS) or [""]
        ]
        tint = _TINTS[place % len(_TINTS)]
        rows += [(line, tint) for line in lines]
        rows.append((f"{chunk.tokens} tokens", "white"))
    figure, axes = plt.subplots(figsize=(9, 0.19 * len(rows) + 0.3))
    for row, (line, tint) in enumerate(rows):
        if tint == "white":
            axes.text(_COLUMNS, -row, line, ha="right", va="center", fontsize=7, color=INK)
            continue
        axes.add_patch(Rectangle((-1, -row - 0.5), _COLUMNS + 2, 1, color=tint, lw=0))
        axes.text(0, -row, line, va="center", fontsize=7.4, family="monospace", color=INK)
    axes.set(xlim=(-1, _COLUMNS + 1), ylim=(-len(rows) + 0.4, 0.6))
    axes.axis("off")
    return figure


def plane(matrix: Matrix, groups: Sequence[str], query: Vector, nearest: Sequence[int]) -> Figure:
    """Project vectors on the plane in which they differ most, a query among them.

    Parameters
    ----------
    matrix : (n, d), one row a chunk.
    groups : one name a chunk; equal ones have the same colour, which goes from blue to red in
        the order in which the names come.
    query : (d,).
    nearest : rows to be connected with the query.
    """
    middle = matrix.mean(axis=0)
    axes_of_most = np.linalg.svd(matrix - middle, full_matrices=False)[2][:2]  # (2, d)
    # A singular vector may point either way; here each points to where its largest part is.
    largest = np.abs(axes_of_most).argmax(axis=1)
    axes_of_most *= np.sign(axes_of_most[[0, 1], largest])[:, None]
    points = (matrix - middle) @ axes_of_most.T  # (n, 2)
    at = (query - middle) @ axes_of_most.T  # (2,)
    figure, axes = plt.subplots(figsize=(9, 4.6))
    names = list(dict.fromkeys(groups))
    # The ends of turbo are nearly black, and a map that is pale in the middle hides chapters.
    colours = plt.get_cmap("turbo")(np.linspace(0.08, 0.92, max(len(names), 2)))
    for name, colour in zip(names, colours, strict=False):
        rows = [row for row, group in enumerate(groups) if group == name]
        axes.scatter(
            points[rows, 0], points[rows, 1], s=30, color=colour, label=name, lw=0.4, ec=INK
        )
    for row in nearest:
        axes.plot(*zip(at, points[row], strict=True), color=METHODS["dense"], lw=0.8, zorder=0)
    axes.scatter(at[0], at[1], marker="*", s=260, color=GOLD, edgecolor=INK, zorder=3)
    axes.annotate("question", at, xytext=(9, 8), textcoords="offset points", color=INK)
    axes.set_title("Chunks by meaning, and the question among them")
    axes.set(xticks=[], yticks=[])
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=7)
    return figure


def along(
    document: Document, rankings: Mapping[str, Sequence[Span]], evidence: Sequence[Span]
) -> Figure:
    """Show where in a document each ranking found something, and where the evidence lies.

    Parameters
    ----------
    rankings : one of `METHODS` -> spans, best first.
    """
    length = len(document.text)
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(rankings) + 1.3))
    _chapters(axes, document)
    for row, (method, spans) in enumerate(rankings.items()):
        for rank, (start, end) in enumerate(spans):
            axes.barh(
                -row,
                max(end - start, length / 300),
                left=start,
                height=0.62,
                color=METHODS[method],
                alpha=max(1 - 0.14 * rank, 0.15),
                lw=0,
            )
    for start, _ in evidence:
        axes.axvline(start, color=GOLD, lw=2, zorder=0)
    axes.set_yticks([-row for row in range(len(rankings))], list(rankings))
    axes.set(xlim=(0, length), ylim=(-len(rankings) + 0.4, 0.6))
    axes.set_title("Where in the book each ranking looks")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("characters of the book; dotted: chapters; gold: the evidence; dark: best hit")
    return figure


def evidence_map(documents: Sequence[Document], evidence: Mapping[str, Sequence[int]]) -> Figure:
    """Show where in each document the evidence of all questions lies.

    Parameters
    ----------
    evidence : document id -> starts of evidence.
    """
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(documents) + 0.9))
    for row, document in enumerate(documents):
        axes.barh(-row, len(document.text), height=0.5, color="#edf1f5", lw=0)
        axes.vlines(evidence.get(document.id, ()), -row - 0.25, -row + 0.25, color=GOLD, lw=1.4)
    axes.set_yticks([-row for row in range(len(documents))], [d.id for d in documents])
    axes.set_title("Where the evidence of all questions lies, document by document")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("characters")
    return figure


def budget(context: Context) -> Figure:
    """Show how the passages of a context share its budget."""
    figure, axes = plt.subplots(figsize=(9, 1.5))
    left = 0
    for place, passage in enumerate(context.passages):
        tint = plt.get_cmap("YlGnBu")(0.75 - 0.55 * place / max(len(context.passages), 2))
        axes.barh(0, passage.tokens, left=left, color=tint, edgecolor="white")
        ink = "white" if place < len(context.passages) / 2 else INK
        middle = left + passage.tokens / 2
        axes.text(middle, 0, f"[{passage.marker}]", ha="center", va="center", color=ink)
        left += passage.tokens
    axes.axvline(context.budget, color=METHODS["fused"], lw=2)
    axes.text(context.budget, 0.55, " budget", color=METHODS["fused"], va="bottom", ha="right")
    axes.set(xlim=(0, context.budget * 1.02), yticks=[], xlabel="tokens of the rendered context")
    axes.set_title(f"{context.tokens:,} of {context.budget:,} tokens are used")
    return figure


def found_against_budget(
    budgets: Sequence[int], curves: Mapping[str, Mapping[str, Sequence[float]]]
) -> Figure:
    """Compare ways to choose what the model reads, one panel a corpus.

    Parameters
    ----------
    curves : corpus -> method of `METHODS` -> for each budget the share of questions whose
        evidence is all there.
    """
    figure, panels = plt.subplots(1, len(curves), figsize=(9, 3.4), sharey=True, squeeze=False)
    for axes, (corpus, methods) in zip(panels[0], curves.items(), strict=True):
        for method, shares in methods.items():
            axes.plot(budgets, shares, "o-", ms=3.5, color=METHODS[method], label=method)
        axes.set_xscale("log", base=2)
        axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        axes.minorticks_off()
        axes.set_title(corpus)
        axes.set(xlabel="budget in tokens", ylim=(0, 1.03))
        axes.grid(axis="y", color="#edf1f5")
    panels[0][0].set_ylabel("questions with all their evidence")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), loc="upper center", frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    return figure


def _chapters(axes: Axes, document: Document) -> None:
    outermost = min((section.level for section in document.sections), default=0)
    tops = [section for section in document.sections if section.level == outermost]
    if len(tops) == 1:  # The title of the whole book.
        tops = [section for section in document.sections if section.level == outermost + 1]
    for section in tops:
        axes.axvline(section.start, color=FAINT, lw=0.8, ls=":", zorder=0)
