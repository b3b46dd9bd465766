"""The methods of an experiment as a tree: family, variables, then what tells each one apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rgi.baselines import FILTERS, LOW_RANK
from rgi.inversion.traits import inversion_traits
from rgi.projection.traits import projection_traits
from rgi.reporting.style import looks
from rgi.traits import NOTHING, Traits

TRAITS: Mapping[str, Callable[[str, Mapping[str, Any]], Traits]] = {
    "inversion": inversion_traits,
    "projection": projection_traits,
    "filters": lambda preset, settings: FILTERS[preset].traits,
    "low-rank": lambda preset, settings: LOW_RANK[preset].traits,
    "anomalib": lambda preset, settings: Traits(
        NOTHING, "a trained detector's score", NOTHING, "normal images"
    ),
}
UNKNOWN = Traits("?", "?", "?", "?")  # of a family that is the user's own

# Inches; columns are as wide as their longest text.
ROW, LETTER, GAP = 0.2, 0.074, 0.3
HEADINGS = ("family", "variables", "method", "fidelity", "prior", "needs to know")


@dataclass(frozen=True)
class Leaf:
    """A method as a line of the tree."""

    family: str
    name: str
    traits: Traits

    @property
    def texts(self) -> tuple[str, ...]:
        """In the order of HEADINGS."""
        traits = self.traits
        return (
            self.family,
            traits.variables,
            self.name,
            traits.fidelity,
            traits.prior,
            traits.needs,
        )


def leaves(methods: Mapping[str, Mapping[str, Any]]) -> list[Leaf]:
    """Describe methods, kin beside each other, families and kin in the order they first come in.

    Args:
        methods: entries of the config's `methods`, by name: `family` and, where they are there,
            `preset` (else the name) and `settings`.

    Raises:
        InputError: an entry has an unknown preset or setting.
    """
    found = []
    for name, entry in methods.items():
        describe = TRAITS.get(entry["family"], lambda preset, settings: UNKNOWN)
        traits = describe(entry.get("preset", name), entry.get("settings", {}))
        found.append(Leaf(entry["family"], name, traits))
    families, kin = [leaf.family for leaf in found], [leaf.texts[:2] for leaf in found]
    return sorted(found, key=lambda leaf: (families.index(leaf.family), kin.index(leaf.texts[:2])))


def family_tree_figure(methods: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the tree; a line for each method, with the colour and marker of all figures.

    Args:
        methods: as for `leaves`.
    """
    lines = leaves(methods)
    texts = [HEADINGS, *(leaf.texts for leaf in lines)]
    widths = [LETTER * max(map(len, column)) + GAP for column in zip(*texts, strict=True)]
    starts = [sum(widths[:place]) for place in range(len(widths))]
    size = (sum(widths), ROW * (len(lines) + 1.5))
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(len(lines), -1.5))
    axes.axis("off")
    for start, heading in zip(starts, HEADINGS, strict=True):
        axes.text(start, -1, heading, va="center", fontweight="bold")
    levels = [[leaf.texts[:depth] for leaf in lines] for depth in (1, 2, 3)]
    for depth in (0, 1):
        _draw_branches(axes, levels[depth], levels[depth + 1], *starts[depth : depth + 2])
    styles = looks([leaf.name for leaf in lines])
    for row, leaf in enumerate(lines):
        look = styles[leaf.name]
        axes.plot(starts[2] - 0.08, row, look.marker, color=look.colour, markersize=5)
        for start, text in zip(starts[2:], leaf.texts[2:], strict=True):
            axes.text(start + 0.04, row, text, va="center", color=_tone(text))
    return figure


def _draw_branches(
    axes: Axes,
    parents: Sequence[tuple[str, ...]],
    children: Sequence[tuple[str, ...]],
    start: float,
    end: float,
) -> None:
    """Name each group of lines beside its first one; branches lead from there to its children."""
    for group, members in groupby(range(len(parents)), key=parents.__getitem__):
        rows = list(members)
        firsts = [row for row in rows if row == rows[0] or children[row] != children[row - 1]]
        begun, stem = start + LETTER * len(group[-1]) + 0.1, end - 0.6 * GAP
        axes.text(start, rows[0], group[-1], va="center", color=_tone(group[-1]))
        branches = [((row, row), (stem, end - 0.05)) for row in firsts]
        stems = [
            ((rows[0], rows[0]), (min(begun, stem), stem)),
            ((rows[0], firsts[-1]), (stem,) * 2),
        ]
        for heights, places in stems + branches:
            axes.plot(places, heights, color="#b0b0b0", linewidth=1)


def _tone(text: str) -> str:
    return "#8a8a8a" if text in (NOTHING, "?") else "black"
