"""`python -m rgi restore | detect`: what a trained generator makes of some pictures."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rgi.command import pin_threads, run
from rgi.errors import InputError
from rgi.settings import choose, parse_json, read_settings

# Measured, see README: as good a mask as with weights of one's own, in a fraction of the time.
METHOD = "rgi-profile"
LAM = 0.05
# The presets' 16 serve experiments: one picture alone would pay for 16.
BATCH = 4


Images = Annotated[list[Path], typer.Argument(metavar="IMAGE", help="pictures, or folders of them")]
GeneratorFile = Annotated[Path, typer.Option(help="generator.pt of a training")]
Out = Annotated[Path, typer.Option(help="folder to write into")]
MethodName = Annotated[str, typer.Option(help="a preset of rgi.inversion.METHODS")]
Lam = Annotated[
    float | None,
    typer.Option(
        help=f"more calls fewer pixels corrupted; default: {LAM} for methods that have a lambda",
        show_default=False,
    ),
]
LamFrom = Annotated[
    Path | None,
    typer.Option(help="take it from an experiment: selection/{dataset}/{case}/{method}.csv"),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="a pixel is corrupted if its score is as high; default: 0.5 for methods that find a "
        "mask, none for others",
        show_default=False,
    ),
]
DiscriminatorFile = Annotated[
    Path | None,
    typer.Option(
        help="for methods that need it; default: discriminator.pt beside the generator",
        show_default=False,
    ),
]
CropText = Annotated[
    str, typer.Option(help="centre (the largest central square) or TOP,LEFT,HEIGHT,WIDTH")
]
SettingsText = Annotated[str, typer.Option(help="what differs from the preset, as JSON")]
Seed = Annotated[int, typer.Option(min=0, help="draws the starts")]
DeviceName = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Threads = Annotated[int, typer.Option(min=1, help="threads for torch")]
Memory = Annotated[int, typer.Option(min=1, help="MB that the passes may take")]


def command(name: str, metric: str | None, summary: str) -> Callable[..., None]:
    """Make one of the two commands: same arguments, another function of rgi.inspection."""

    def main(
        images: Images,
        *,
        generator: GeneratorFile,
        out: Out,
        method: MethodName = METHOD,
        lam: Lam = None,
        lam_from: LamFrom = None,
        threshold: Threshold = None,
        discriminator: DiscriminatorFile = None,
        crop: CropText = "centre",
        settings: SettingsText = "{}",
        seed: Seed = 0,
        device: DeviceName = "auto",
        threads: Threads = 1,
        memory: Memory = 1000,
    ) -> None:
        from rgi.data.inputs import find_pictures
        from rgi.inspection import Recipe, choose_threshold

        pictures = find_pictures(images, out)
        chosen = _method(method, settings)
        recipe = Recipe(
            generator=generator,
            method=chosen,
            lam=_lam(lam, lam_from, method, metric, LAM if chosen.has_lambda else None),
            discriminator=discriminator or generator.parent / "discriminator.pt",
            crop=_crop(crop),
            seed=seed,
        )
        limit = choose_threshold(chosen, threshold)

        from rgi import inspection
        from rgi.models import choose_device

        pin_threads(threads)
        inverter = inspection.Inverter(recipe, out, choose_device(device), memory * 10**6)
        getattr(inspection, name)(pictures, inverter, limit)
        _end(inverter.failures, len(pictures))

    main.__name__, main.__doc__ = name, summary
    return main


def _method(name: str, settings: str) -> Any:
    from rgi.inversion.methods import METHODS, Method, configured

    preset = choose(METHODS, name, "--method")
    changes = {"batch": BATCH} | parse_json(settings)
    read_settings(Method, asdict(preset) | changes, "--settings")
    return configured(name, changes)


def _lam(
    lam: float | None,
    selection: Path | None,
    method: str,
    metric: str | None,
    default: float | None,
) -> float | None:
    if selection is None:
        return default if lam is None else lam
    if lam is not None:
        raise InputError("--lam-from: --lam is given, too; allowed: one of them")
    if selection.stem != method:
        raise InputError(
            f"--lam-from: {selection}: its name says that {selection.stem} chose there; allowed: "
            f"a file {method}.csv, since lambdas of two methods do not compare, or --lam instead"
        )
    from rgi.command import parse_lam
    from rgi.evaluation.selection import chosen_lambda, read_selection, reference_lambda

    chosen = read_selection(selection)
    return parse_lam(reference_lambda(chosen) if metric is None else chosen_lambda(chosen, metric))


def _crop(text: str) -> Any:
    from rgi.data.pictures import is_box

    if text == "centre":
        return text
    parts = text.split(",")
    box = {"box": [int(part) for part in parts]} if all(map(str.isdecimal, parts)) else {}
    if not is_box(box):
        raise InputError(f"--crop: {text}; allowed: centre, or TOP,LEFT,HEIGHT,WIDTH in pixels")
    return box


def _end(failures: dict[Path, str], pictures: int) -> None:
    """End with status 1 if some pictures were of no use, after all others are done."""
    for path, reason in failures.items():
        print(f"error: {path}: {reason}", file=sys.stderr)
    if failures:
        print(f"error: {len(failures)} of {pictures} pictures were left out", file=sys.stderr)
        raise typer.Exit(1)


RESTORE = (
    "Write a restored picture for each IMAGE.\n\n"
    "Under OUT: restored/, the picture as the generator draws it without the corruption; "
    "composite/, restored inside the found mask and unchanged elsewhere; mask/, white = corrupted. "
    "All at the generator's resolution. A second run, or `detect` with the same OUT, computes only "
    "what is not there yet."
)
DETECT = (
    "Find, outline and measure the defects of each IMAGE.\n\n"
    "Under OUT: overlay/, the picture with its defects outlined; mask/, white = defect; score/, "
    "the brighter the surer; defects/, a CSV per picture with area, length, width and box of each "
    "defect in pixels of the mask; summary.csv, a line for each IMAGE. A second run, or `restore` "
    "with the same OUT, computes only what is not there yet."
)

if __name__ == "__main__":
    run(command("restore", None, RESTORE), command("detect", "dice", DETECT))
