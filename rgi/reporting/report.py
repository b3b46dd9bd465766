"""The report: one page, complete in itself, that a person opens first."""

import base64
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, UnidentifiedImageError

from rgi.errors import InputError
from rgi.evaluation.scoring import read_table
from rgi.files import check_content, write_whole
from rgi.reporting.captions import FIGURES, TABLES, Caption
from rgi.reporting.layout import LAYOUTS, Block
from rgi.reporting.tables import COLUMNS_OF

ORDER = (
    "methods",
    "inpainting",
    "restorations",
    "anomaly-detection",
    "detections",
    "detection-curves",
    "dice-by-defect",
    "training-size",
    "steps",
    "simulation",
    "solver",
    "solver-seconds",
    "lambda-sensitivity",
    "cost",
)
PACKAGES = (
    "rgi-bench",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "scikit-image",
    "scikit-learn",
    "lpips",
    "matplotlib",
    "snakemake",
)
# Figures have 200 dots per inch, a page has 96; half their dots keep letters sharp and readable.
FIGURE_SCALE = 0.5
# Wider figures keep their size on a phone and scroll, or nobody could read them.
WIDE = 560
SHEET_WIDTH = 480


@dataclass(frozen=True)
class Sources:
    """The files the report shows; the stem of a table or figure is its name, the folder of a
    preview or sample sheet is its data set, and that of reconstructions their autoencoder's kind,
    in one of its data set.
    """

    tables: Sequence[Path]
    figures: Sequence[Path]
    previews: Sequence[Path]
    samples: Sequence[Path]
    reconstructions: Sequence[Path] = ()


@dataclass(frozen=True)
class Picture:
    """A PNG as a data URI, its width in CSS pixels and the words around it."""

    title: str
    text: str
    uri: str
    width: int

    @property
    def is_wide(self) -> bool:
        """Whether it scrolls in its box instead of shrinking."""
        return self.width > WIDE


@dataclass(frozen=True)
class Topic:
    """A section of results: a figure, a table, or both."""

    name: str
    title: str
    figure: Picture | None
    text: str
    blocks: Sequence[Block]


def write_report(path: Path, sources: Sources, config: Mapping[str, Any], command: str) -> None:
    """Write the page, whole or not at all.

    Args:
        path: report.html.
        sources: what is shown.
        config: the experiment's settings, with defaults filled in.
        command: what was typed to make it all.

    Raises:
        InputError: a file is missing or damaged.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.jinja").render(
        topics=_topics(sources),
        data=[
            _sheet(p, p.parent.name, "The data", "Images of the data set {}.")
            for p in sources.previews
        ],
        samples=[
            _sheet(
                p,
                p.parent.name,
                "The generator",
                "Images that the generator of {} draws from random latents. Where they do not "
                "look like the data, no inversion can restore well.",
            )
            for p in sources.samples
        ],
        reconstructions=[
            _sheet(
                p,
                p.parent.parent.name,
                f"The autoencoder {p.parent.name}",
                "Training images of {} and what the autoencoder makes of them. What it loses here, "
                "it takes for a defect elsewhere.",
            )
            for p in sources.reconstructions
        ],
        settings=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        software=software(),
        machine=machine(),
        command=command,
    )
    with write_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def software() -> dict[str, str]:
    """Versions of Python and of the packages that results may depend on."""
    versions = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def machine() -> dict[str, str]:
    """System, processor and GPU of this machine."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "system": platform.platform(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "GPU": gpu,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _topics(sources: Sources) -> list[Topic]:
    tables = {path.stem: path for path in sources.tables}
    figures = {path.stem: path for path in sources.figures}
    return [
        _topic(name, tables.get(name), figures.get(name))
        for name in sorted({*tables, *figures}, key=ORDER.index)
    ]


def _topic(name: str, table: Path | None, figure: Path | None) -> Topic:
    picture = None if figure is None else _picture(figure, FIGURES[name], FIGURE_SCALE)
    if table is None:
        return Topic(name, FIGURES[name].title, picture, "", [])
    blocks = LAYOUTS[name](read_table(table, COLUMNS_OF[name]))
    return Topic(name, TABLES[name].title, picture, TABLES[name].text, blocks)


def _sheet(path: Path, dataset: str, title: str, text: str) -> Picture:
    """A preview or sample sheet, enlarged by whole numbers since its pixels may be few."""
    caption = Caption(f"{title}: {dataset}", text.format(dataset))
    scale = max(1, SHEET_WIDTH // _width(path))
    return _picture(path, caption, scale)


def _picture(path: Path, caption: Caption, scale: float) -> Picture:
    width = round(_width(path) * scale)
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Picture(caption.title, caption.text, f"data:image/png;base64,{data}", width)


def _width(path: Path) -> int:
    check_content(path)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.width
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnidentifiedImageError, OSError):
        raise InputError(f"{path}: not a readable PNG; delete it and run again") from None
