"""Corrupt the test images of a data set in one known way."""

from pathlib import Path
from typing import Annotated

import typer

from rgi.command import run
from rgi.corruption import make_case, read_corruption, save_case, save_case_preview
from rgi.data import open_images, parse_json, to_floats


def main(
    *,
    images: Annotated[Path, typer.Option(help="test.npy of a data set")],
    settings: Annotated[str, typer.Option(help="the case's entry in the config, as JSON")],
    name: Annotated[str, typer.Option(help="the case's name; its random numbers depend on it")],
    output: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    preview: Annotated[Path | None, typer.Option(help="a picture of the first images")] = None,
    seed: Annotated[int, typer.Option(help="draws masks and fills")] = 0,
) -> None:
    """Write clean images, corrupted images and masks to OUTPUT.

    Example of SETTINGS: '{"corruption": "block", "size": 6, "fill": {"kind": "noise"}}'.
    """
    values = parse_json(settings)
    values.pop("images", None)  # how many to generate when the entry is used for a simulation
    mask, fill = read_corruption(values)
    clean = to_floats(open_images(images))
    case = make_case(clean, range(len(clean)), mask, fill, seed, name)
    save_case(output, case)
    if preview is not None:
        save_case_preview(preview, case)


if __name__ == "__main__":
    run(main)
