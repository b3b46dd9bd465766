"""Corrupt the test images of a data set in one known way, or take the corruption they came with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from rgi.command import run
from rgi.corruption import (
    DEGRADATIONS,
    GIVEN,
    Case,
    given_case,
    make_case,
    read_corruption,
    save_case,
    save_case_preview,
)
from rgi.data import open_groups, open_images, open_kinds, open_masks, to_floats
from rgi.errors import InputError
from rgi.settings import parse_json


def main(
    *,
    images: Annotated[Path, typer.Option(help="test.npy of a data set")],
    settings: Annotated[str, typer.Option(help="the case's entry in the config, as JSON")],
    name: Annotated[str, typer.Option(help="the case's name; its random numbers depend on it")],
    output: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    masks: Annotated[
        Path | None, typer.Option(help="test_masks.npy, for the corruption `given`")
    ] = None,
    kinds: Annotated[
        Path | None, typer.Option(help="test_kinds.txt, for the corruption `given`")
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="test_groups.txt, for the corruption `given`")
    ] = None,
    preview: Annotated[Path | None, typer.Option(help="a picture of the first images")] = None,
    seed: Annotated[int, typer.Option(min=0, help="draws masks and fills")] = 0,
) -> None:
    """Write clean images, corrupted images and masks to OUTPUT.

    Example of SETTINGS: '{"corruption": "block", "size": 6, "fill": {"kind": "noise"}}'. With
    '{"corruption": "given"}' the images are corrupted already, at MASKS; clean is NaN: unknown.
    With '{"corruption": "super-resolution", "factor": 4}' what is observed is written, too.
    """
    values = parse_json(settings)
    values.pop("images", None)  # how many to generate when the entry is used for a simulation
    shown = to_floats(open_images(images))
    if values.get("corruption") == GIVEN:
        case = _take_given(values, shown, masks, kinds, groups)
    else:
        _refuse_given(masks=masks, kinds=kinds, groups=groups)
        case = _corrupt(values, shown, seed, name)
    save_case(output, case)
    if preview is not None:
        save_case_preview(preview, case)


def _corrupt(values: Mapping[str, Any], images: np.ndarray, seed: int, name: str) -> Case:
    if values.get("corruption") in DEGRADATIONS:
        from rgi.corruption.operators import observe, read_degradation  # torch is slow to start

        return observe(images, read_degradation(values), seed, name)
    mask, fill = read_corruption(values)
    return make_case(images, range(len(images)), mask, fill, seed, name)


def _take_given(
    values: Mapping[str, Any],
    images: np.ndarray,
    masks: Path | None,
    kinds: Path | None,
    groups: Path | None,
) -> Case:
    if set(values) != {"corruption"}:
        (extra, *_) = sorted(set(values) - {"corruption"})
        raise InputError(f"cases: {GIVEN}: unknown key {extra!r}; allowed: none")
    if masks is None:
        raise InputError(f"--masks: missing; corruption {GIVEN} needs the masks of the images")
    kind = None if kinds is None else open_kinds(kinds)
    group = None if groups is None else open_groups(groups)
    return given_case(images, open_masks(masks), kind, group)


def _refuse_given(**paths: Path | None) -> None:
    for option, path in paths.items():
        if path is not None:
            raise InputError(f"--{option} {path}: only the corruption {GIVEN} takes {option}")


if __name__ == "__main__":
    run(main)
