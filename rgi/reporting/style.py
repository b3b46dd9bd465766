"""One look for all figures: a method has the same colour, line and marker everywhere."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from rgi.files import write_whole

# Okabe and Ito's colours, told apart by colour-blind readers; yellow is too pale on white.
BLACK, GREY, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#7f7f7f",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
DOTS_PER_INCH = 200


@dataclass(frozen=True)
class Look:
    """Colour, line style and marker of one method."""

    colour: str
    line: str
    marker: str


# Kin share a colour: the line and the marker tell them apart.
_KNOWN = {
    "rgi": Look(BLUE, "-", "o"),
    "rgi-profile": Look(BLUE, "--", "D"),
    "r-rgi": Look(VERMILLION, "-", "s"),
    "r-rgi-profile": Look(VERMILLION, "--", "P"),
    "l2": Look(BLACK, "-", "v"),
    "l1": Look(BLACK, "--", "^"),
    "yeh-without-mask": Look(ORANGE, "-", "<"),
    "yeh-with-mask": Look(ORANGE, "--", ">"),
    "pan-with-mask": Look(GREEN, "--", "X"),
    "anogan": Look(PURPLE, "-", "*"),
    "median": Look(SKY, "-", "h"),
    "total-variation": Look(SKY, "--", "d"),
    "non-local-means": Look(SKY, ":", "p"),
    **{
        f"{kind}{projection}": Look(colour, line, marker)
        for kind, colour, marker in (
            ("l2-ae", GREY, "v"),
            ("dsae", GREEN, "D"),
            ("vae", PURPLE, "P"),
            ("gamma-vae", ORANGE, "X"),
        )
        for projection, line in (
            ("", ":"),
            ("-grad", "-"),
            ("-grad-blind", "--"),
            ("-grad-with-mask", "-."),
        )
    },
}
_OTHERS = [
    Look(colour, line, marker)
    for line, marker in ((":", "o"), ("-.", "s"), ("-.", "^"))
    for colour in (PURPLE, GREEN, GREY, ORANGE, BLACK, BLUE, VERMILLION)
]


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """The look of each method; unknown ones get theirs in the order of the list."""
    others = [method for method in methods if method not in _KNOWN]
    extra = {method: _OTHERS[place % len(_OTHERS)] for place, method in enumerate(others)}
    return {method: _KNOWN.get(method) or extra[method] for method in methods}


def line_looks(lines: Sequence[str]) -> dict[str, Look]:
    """The looks of lines that are no methods, in their order."""
    colours = (BLUE, VERMILLION, GREEN, PURPLE, BLACK, ORANGE, SKY)
    markers = ("o", "s", "^", "D", "v", "P", "X", "*")  # one more, so that pairs come back late
    return {
        line: Look(colours[place % len(colours)], "-", markers[place % len(markers)])
        for place, line in enumerate(lines)
    }


@contextmanager
def figure_style() -> Iterator[None]:
    """Settings under which every figure is drawn and saved."""
    import seaborn

    settings = {
        **seaborn.axes_style("whitegrid", {"grid.color": "#e6e6e6"}),
        **seaborn.plotting_context("paper"),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "black",
        "legend.frameon": False,
        "legend.handlelength": 3,
        "lines.linewidth": 1.4,
        "lines.markersize": 4.5,
        "pdf.fonttype": 42,
        # A method's name is text, whatever signs it holds.
        "text.parse_math": False,
    }
    with matplotlib.rc_context(settings):
        yield


def save_figure(figure: Figure, png: Path, pdf: Path) -> None:
    """Write a figure as PNG and PDF, whole or not at all; equal figures give equal files."""
    # It reports every step of shrinking a font for the PDF.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    for path, metadata in ((png, {}), (pdf, {"CreationDate": None})):
        with write_whole(path, checksum=True) as temporary:
            figure.savefig(
                temporary,
                dpi=DOTS_PER_INCH,
                metadata=metadata,
                bbox_inches="tight",
                pad_inches=0.05,
            )
