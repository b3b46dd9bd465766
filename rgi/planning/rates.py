"""How fast a machine computes, as benchmarks/inversion.py and benchmarks/training.py measured."""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any

from rgi.errors import InputError
from rgi.planning.work import Kind, Work

# Methods of benchmarks/inversion.py; what moves besides the latent decides the rate.
_KINDS: Mapping[str, Kind] = {
    "l2": "descent",
    "rgi": "descent",
    "rgi-profile": "descent",
    "r-rgi-fine-tuning": "fine-tuning",
    "pan": "fine-tuning",
}


@dataclass(frozen=True)
class Rate:
    """GFLOP/s of one core or GPU: the lowest, median and highest of what was measured."""

    kind: Kind
    resolution: int
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """Hours of one core or GPU: at the median rate, and at the highest and lowest measured."""

    hours: float = 0.0
    least: float = 0.0
    most: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.hours + other.hours, self.least + other.least, self.most + other.most)


@dataclass(frozen=True)
class Rates:
    """What was measured on one kind of machine."""

    device: str  # the GPU's or processor's name
    unit: str  # whose hours are counted: GPU or core
    rates: tuple[Rate, ...]

    def estimate(self, work: Iterable[Work]) -> Estimate:
        """Hours for some work, at the rate of the nearest resolution that was measured."""
        total = Estimate()
        for part in work:
            rate = self.nearest(part)
            total += Estimate(
                *(part.gflop / speed / 3600 for speed in (rate.middle, rate.high, rate.low))
            )
        return total

    def nearest(self, work: Work) -> Rate:
        """The rate of this kind of work at the nearest resolution; the larger of two."""
        found = [rate for rate in self.rates if rate.kind == work.kind]
        return min(
            found,
            key=lambda rate: (abs(log2(rate.resolution / work.resolution)), -rate.resolution),
        )


def read_rates(inversion: Path, training: Path) -> Rates:
    """Read what the two benchmarks wrote with --json, on one machine.

    Raises:
        InputError: a file is missing, is no report of its benchmark or measured too little, or the
            two are of different machines.
    """
    reports = {path: _read(path) for path in (inversion, training)}
    try:
        rates = [*_inversion_rates(reports[inversion]), *_training_rates(reports[training])]
        devices = [_device(report) for report in reports.values()]
    except (KeyError, TypeError, IndexError, statistics.StatisticsError) as error:
        raise InputError(
            f"{inversion}, {training}: not what benchmarks/inversion.py and benchmarks/training.py "
            f"write with --json ({error!r})"
        ) from None
    if devices[0] != devices[1]:
        raise InputError(
            f"{training}: measured on {devices[1][0]}, {inversion} on {devices[0][0]}; expected "
            "one machine"
        )
    for kind in ("descent", "fine-tuning", "training"):
        if not any(rate.kind == kind for rate in rates):
            raise InputError(
                f"{inversion}: no rate of {kind}; measure --method rgi and r-rgi-fine-tuning"
            )
    device, unit = devices[0]
    return Rates(device, unit, tuple(rates))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a benchmark's --json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error}); expected a benchmark's --json") from None


def _device(report: Mapping[str, Any]) -> tuple[str, str]:
    on_gpu = report["options"]["device"] == "cuda"
    return report["machine"]["gpu" if on_gpu else "cpu"], "GPU" if on_gpu else "core"


def _inversion_rates(report: Mapping[str, Any]) -> list[Rate]:
    options = report["options"]
    units = options["jobs"] * (1 if options["device"] == "cuda" else options["threads"])
    measured: dict[tuple[Kind, int], list[float]] = {}
    for row in report["rows"]:
        ours = row["ours"]
        middle = statistics.median(ours["seconds"])
        speeds = [ours["gflop_per_second"] * middle / each / units for each in ours["seconds"]]
        measured.setdefault((_KINDS[row["method"]], row["resolution"]), []).extend(speeds)
    return [_rate(*key, speeds) for key, speeds in measured.items()]


def _training_rates(report: Mapping[str, Any]) -> list[Rate]:
    options, rates = report["options"], []
    units = 1 if options["device"] == "cuda" else report["machine"]["threads"]
    for row in report["rows"]:
        own = row["own"]
        speeds = [own["gflop_per_step"] / each / units for each in own["seconds_per_step"]]
        rates.append(_rate("training", row["resolution"], speeds))
    return rates


def _rate(kind: Kind, resolution: int, speeds: list[float]) -> Rate:
    return Rate(kind, resolution, min(speeds), statistics.median(speeds), max(speeds))
