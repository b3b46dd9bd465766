"""How a script becomes a command: typed arguments, one-line errors, a log, pinned threads."""

import inspect
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_origin

import typer

from rgi.errors import InputError, OutputError
from rgi.interruption import NOT_FINISHED, Interrupted


def run(*mains: Callable[..., None]) -> None:
    """Run `mains` as a command line program; signatures are the interface, `--help` explains them.

    Several functions are subcommands, each under the function's name.
    An InputError or OutputError ends the program with status 1 and its message on one line of
    standard error, Interrupted likewise with NOT_FINISHED.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    for main in mains:
        app.command()(_with_options(main))
    try:
        app()
    except (InputError, OutputError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Interrupted as interruption:
        print(f"not finished: {interruption}; the same command goes on from there", file=sys.stderr)
        sys.exit(NOT_FINISHED)


def _with_options(main: Callable[..., None]) -> Callable[..., None]:
    """Make every parameter an option: typer would make those without a default positional."""
    signature = inspect.signature(main)
    parameters = [
        parameter.replace(default=typer.Option(...)) if _is_bare(parameter) else parameter
        for parameter in signature.parameters.values()
    ]
    main.__signature__ = signature.replace(parameters=parameters)
    return main


def _is_bare(parameter: inspect.Parameter) -> bool:
    annotated = get_origin(parameter.annotation) is Annotated
    return parameter.default is parameter.empty and not annotated


def shard(first: int, last: int, count: int, source: Path) -> slice:
    """Say which of the `count` rows of `source` a job is about: from `first` to before `last`.

    Raises:
        InputError: no row, or rows that `source` does not have.
    """
    if not 0 <= first < last <= count:
        raise InputError(f"--first {first} --last {last}: {source} has rows 0 to {count}")
    return slice(first, last)


def parse_lam(text: str) -> float | None:
    """Read --lam: a number, or `none` for a method without one.

    Raises:
        InputError: neither.
    """
    if text == "none":
        return None
    try:
        lam = float(text)
    except ValueError:
        lam = math.nan
    if not math.isfinite(lam):
        raise InputError(f"--lam {text}: expected a number, or none")
    return lam


def pin_threads(threads: int) -> None:
    """Let torch use `threads` threads: two busy pools on the same cores stall each other."""
    import torch

    torch.set_num_threads(threads)
