"""Everything but the picture that a restoration depends on, and the folder that remembers it."""

import dataclasses
import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rgi.data.pictures import Crop
from rgi.errors import InputError
from rgi.evaluation.scoring import FOUND
from rgi.files import sha256_of, write_whole
from rgi.inversion import Method
from rgi.inversion.methods import INVERSION_VERSION

THRESHOLD = "threshold"
THRESHOLDED = ("mask", "composite", "overlay", "defects")  # folders that depend on it


@dataclass(frozen=True)
class Recipe:
    """How pictures are restored.

    Raises:
        InputError: the method needs the true mask, an operator or an encoder, or a lambda or
            discriminator that is not given, or has no lambda.
    """

    generator: Path
    method: Method
    lam: float | None = None
    discriminator: Path | None = None  # needed where the method has a discriminator prior
    crop: Crop = "centre"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method.needs_mask:
            raise InputError(
                "method: it needs the true mask; use rgi.inversion.invert(..., mask=...)"
            )
        if self.method.needs_operator:
            raise InputError(
                "method: it needs a known degradation; use rgi.inversion.invert(..., operator=...)"
            )
        if self.method.encoded_start:
            raise InputError(
                "method: it starts with an encoder; use rgi.inversion.invert(..., encoder=...)"
            )
        if not self.method.has_lambda and self.lam is not None:
            raise InputError(f"lam: {self.lam}; this method has none")
        if self.method.has_lambda and not (self.lam and 0 < self.lam < math.inf):
            raise InputError(f"lam: {self.lam}; allowed: a number above 0")
        if self.method.needs_discriminator and self.discriminator is None:
            raise InputError("discriminator: this method's prior needs one")

    def described(self) -> dict[str, Any]:
        """The recipe in plain values, networks by the hash of their files."""
        networks = {"generator": sha256_of(self.generator)}
        if self.method.needs_discriminator:
            networks["discriminator"] = sha256_of(self.discriminator)
        own = {"lam": self.lam, "crop": self.crop, "seed": self.seed, "version": INVERSION_VERSION}
        return json.loads(json.dumps(networks | own | dataclasses.asdict(self.method)))


def choose_threshold(method: Method, threshold: float | None) -> float | None:
    """The score from which on a pixel counts as corrupted, as in an experiment's points.csv.

    Without one: 0.5 for methods that find a mask.

    Returns:
        None where nothing was asked for and the score is a residual, which has no natural one.

    Raises:
        InputError: a threshold that calls nothing or everything corrupted.
    """
    if threshold is None:
        return FOUND if method.finds_mask else None
    top = 1.0 if method.finds_mask else math.inf
    if not 0 < threshold <= top:
        raise InputError(f"threshold: {threshold}; allowed: above 0, at most {top:g}")
    return threshold


def check_folder(out: Path, described: dict[str, Any]) -> None:
    """Make the folder `out`, or see that nothing of another kind or recipe lies in it.

    Raises:
        InputError: `out` is no folder, holds files of other origin, or was filled by another
            recipe.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: {out}: {error.strerror}; expected a folder") from None
    record = _record(out)
    if not record.exists():
        if any(not path.name.startswith(".") for path in out.iterdir()):
            raise InputError(
                f"out: {out} holds other files; allowed: a new or empty folder, or one that "
                "these commands filled"
            )
        return
    earlier = _earlier(out)
    if not earlier:
        return
    for key in [*described, *(key for key in earlier if key != THRESHOLD)]:
        if earlier.get(key) != described.get(key):
            raise InputError(
                f"{record}: {key}: {earlier.get(key)} made what is there, {described.get(key)} "
                "was asked for; take another folder (out)"
            )


def check_threshold(out: Path, threshold: float, written: Collection[Path]) -> None:
    """See that no mask of another threshold stays beside those that will be `written`.

    Raises:
        InputError: one would.
    """
    earlier = _earlier(out).get(THRESHOLD)
    if earlier in (None, threshold):
        return
    stale = {
        kind: path
        for kind in THRESHOLDED
        for path in sorted((out / kind).rglob("[!.]*"))
        if path.is_file() and path not in written
    }
    if stale:
        raise InputError(
            f"out: {next(iter(stale.values()))}: made with threshold {earlier}, {threshold} was "
            f"asked for; delete {' and '.join(stale)} there (nothing will be computed again), or "
            "take another folder (out)"
        )


def record_recipe(out: Path, described: dict[str, Any], threshold: float | None) -> None:
    """Write into the folder what `check_folder` and `check_threshold` compare."""
    threshold = _earlier(out).get(THRESHOLD) if threshold is None else threshold
    with write_whole(_record(out)) as temporary:
        temporary.write_text(yaml.safe_dump({**described, THRESHOLD: threshold}, sort_keys=False))


def found_folder(out: Path) -> Path:
    """Where the results of the inversion are kept."""
    return out / "found"


def _earlier(out: Path) -> dict[str, Any]:
    """What made that which lies in the folder; empty where nothing does.

    Raises:
        InputError: the record is damaged.
    """
    record = _record(out)
    if not (record.exists() and found_folder(out).exists()):  # an earlier run came to nothing
        return {}
    try:
        earlier = yaml.safe_load(record.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{record}: not readable ({str(error).splitlines()[0]})") from None
    if not isinstance(earlier, dict):
        raise InputError(f"{record}: not what these commands write; take another folder (out)")
    return earlier


def _record(out: Path) -> Path:
    return out / "settings.yaml"
