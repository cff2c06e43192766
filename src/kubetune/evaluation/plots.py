"""The report's plots as inline SVG: byte-stable, and coloured by the page's own CSS variables.

Matplotlib draws in placeholder colours that are then replaced by `var(--…)`, so that one drawing suits light, dark
and paper. Ids get a prefix a plot, since several drawings share one page.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from kubetune.metrics.base import Ints
from kubetune.text.shown import one_line

COLOURS = {
    "#000001": "var(--text)",
    "#000002": "var(--muted)",
    "#000003": "var(--line)",
    "#000004": "var(--accent)",
    "#000005": "var(--bad)",
    "#000006": "var(--good)",
}
TEXT, MUTED, LINE, ACCENT, BAD, GOOD = COLOURS
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    "svg.hashsalt": "kubetune",  # ids follow from the content and not from a random number
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same measures on every machine
    "font.size": 11,
    "text.color": TEXT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
}
WIDTH = 6.4
MOST_CLASSES = 24
"""Classes in one plot."""
FIRM_TEXTS = 10
"""Confidence bins with fewer distinct texts get a bar but no point."""


def reliability_diagram(calibration: Sequence[Mapping[str, Any]]) -> str:
    """Draw accuracy against confidence a bin, the bins' rows below."""
    centres = [(part["from"] + part["to"]) / 2 for part in calibration]
    width = calibration[0]["to"] - calibration[0]["from"]
    with _styled_figure(WIDTH, 4.6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
        upper.bar(centres, [part["accuracy"] for part in calibration], width * 0.86, color=ACCENT, alpha=0.3)
        firm = [part for part in calibration if part["texts"] >= FIRM_TEXTS]
        confidence, accuracy = ([part[name] for part in firm] for name in ("confidence", "accuracy"))
        upper.plot(confidence, accuracy, color=ACCENT, marker="o", markersize=4)
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
        lower.bar(centres, [part["rows"] for part in calibration], width * 0.86, color=MUTED)
        lower.set(xlabel="confidence", ylabel="rows")
        lower.grid(visible=False, axis="x")
        return _svg(figure, "reliability", "Reliability diagram: accuracy by confidence")


def class_f1(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw the F1 of each class with its interval, best on top; of many classes, the weakest."""
    ranked = sorted(rows, key=lambda row: row["f1"]["value"])[:MOST_CLASSES]
    values = np.array([row["f1"]["value"] for row in ranked])
    lows = values - [row["f1"]["low"] for row in ranked]
    highs = np.array([row["f1"]["high"] for row in ranked]) - values
    positions = np.arange(len(ranked))
    height = 0.9 + 0.34 * len(ranked)
    with _styled_figure(WIDTH, height) as figure:
        axes = figure.subplots()
        axes.hlines(positions, 0, values, color=LINE, linewidth=6)
        axes.errorbar(
            values,
            positions,
            xerr=np.clip(np.stack([lows, highs]), 0, None),
            fmt="o",
            color=ACCENT,
            markersize=6,
            elinewidth=2,
            capsize=4,
        )
        axes.set(xlim=(0, 1.005), ylim=(-0.6, len(ranked) - 0.4), xlabel="F1 with 95 % interval")
        axes.set_yticks(positions, [one_line(row["label"], 24) for row in ranked])
        axes.grid(visible=False, axis="y")
        return _svg(figure, "class-f1", "F1 of each class with its interval")


def confusion_map(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Draw the share of each true class (a row) that is given each answer; for too many classes for a table."""
    table = np.array(counts, dtype=np.float64)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    size = max(4.0, 0.22 * len(names) + 1.6)
    with _styled_figure(size, size) as figure:
        axes = figure.subplots()
        for true, predicted in zip(*np.nonzero(table), strict=True):
            colour = GOOD if true == predicted else BAD
            alpha = 0.08 + 0.92 * float(shares[true, predicted])
            axes.add_patch(Rectangle((predicted - 0.5, true - 0.5), 1, 1, color=colour, alpha=alpha, lw=0))
        span = (-0.5, len(names) - 0.5)
        axes.set(xlim=span, ylim=span[::-1], xlabel="predicted", ylabel="true", aspect="equal")
        shown = [one_line(name, 14) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), shown, fontsize=8)
        axes.grid(visible=False)
        return _svg(figure, "confusion", "Confusion matrix as a heat map")


def learning_curve(evaluations: Sequence[Mapping[str, float]], metric: str, best_step: float | None) -> str:
    """Draw the metric that picked the weights, and validation and training loss, against the step.

    Args:
        evaluations: `{"step", "train_loss", "loss", <metric>, …}` an evaluation, in order.
        metric: Name of the metric that picked the weights.
        best_step: Step whose weights were kept.
    """
    steps = [point["step"] for point in evaluations]
    names = [name for name in dict.fromkeys((metric, "loss")) if all(name in point for point in evaluations)]
    with _styled_figure(WIDTH, 1.9 * len(names) + 0.5) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for name, axes in zip(names, panels, strict=True):
            values = [point[name] for point in evaluations]
            axes.plot(steps, values, color=ACCENT, marker="o", markersize=4, label="validation")
            axes.set_ylabel(name.replace("_", " "))
            if name == "loss":
                axes.plot(steps, [point["train_loss"] for point in evaluations], color=MUTED, label="training")
                axes.legend(frameon=False, loc="upper right")
            if best_step is not None:
                axes.axvline(best_step, color=GOOD, linestyle="--", linewidth=1)
        panels[-1].set_xlabel("optimizer step (dashed: the weights that were kept)")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure, "learning", "Validation metrics during training")


def length_histogram(lengths: Ints, correct: NDArray[np.bool_] | None) -> str:
    """Draw how many test rows have how many tokens, right and wrong answers stacked.

    Args:
        lengths: Shape (rows,).
        correct: Whether each answer is right, shape (rows,); None: answers are nearer or farther, hardly any is right.
    """
    longest = int(lengths.max())
    step = max(1, -(-longest // 40))
    edges = np.arange(0, longest + step + 1, step)
    parts = {"rows": (lengths, ACCENT)}
    if correct is not None:
        parts = {"right": (lengths[correct], ACCENT), "wrong": (lengths[~correct], BAD)}
    below = np.zeros(len(edges) - 1, dtype=np.int64)
    with _styled_figure(WIDTH, 2.6) as figure:
        axes = figure.subplots()
        for name, (values, colour) in parts.items():
            rows = np.histogram(values, edges)[0]
            alpha = 0.55 if colour == ACCENT else 1.0
            axes.bar(edges[:-1], rows, step * 0.9, align="edge", bottom=below, color=colour, alpha=alpha, label=name)
            below = below + rows
        axes.set(xlabel="tokens", ylabel="rows", xlim=(0, edges[-1]))
        axes.grid(visible=False, axis="x")
        if correct is not None:
            axes.legend(frameon=False, loc="upper right")
        title = "Test rows by length" + (", right and wrong" if correct is not None else "")
        return _svg(figure, "lengths", title)


@contextmanager
def _styled_figure(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of width x height inches; what is drawn inside the block has our style."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure, name: str, title: str) -> str:
    """Return a figure as SVG text; to be called inside its block."""
    file = io.StringIO()
    with warnings.catch_warnings():  # the reader's browser has more glyphs
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(file.getvalue(), name, title)


def _inline(svg: str, name: str, title: str) -> str:
    """Make a matplotlib file fit to stand in a page: no prolog, no namespace URLs, own ids, CSS colours, a title."""
    body = svg[svg.index("<svg") :]
    head, rest = body.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = re.sub(r'(xlink:)?href="#', f'href="#{name}-', rest)
    rest = rest.replace("url(#", f"url(#{name}-")
    rest = re.sub(r"font(-family)?: [^;\"]*DejaVu Sans[^;\"]*; ?", "", rest)
    rest = re.sub(r"<style.*?</style>", "", rest, flags=re.DOTALL)  # `*{…}` would style the whole page
    for placeholder, variable in COLOURS.items():
        rest = rest.replace(placeholder, variable)
    shown = escape(title)
    return f'<svg class="plot" role="img" aria-label="{shown}" {view[0] if view else ""}><title>{shown}</title>{rest}'
