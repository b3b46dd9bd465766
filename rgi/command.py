"""How a script becomes a command: typed arguments, one-line errors, a log, pinned threads."""

import inspect
import logging
import sys
from collections.abc import Callable
from typing import Annotated, get_origin

import typer

from rgi.errors import InputError


def run(main: Callable[..., None]) -> None:
    """Run `main` as a command line program; its signature is the interface, `--help` explains it.

    An InputError ends the program with status 1 and its message on one line of standard error.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(_with_options(main))
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


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


def pin_threads(threads: int) -> None:
    """Let torch use `threads` threads: two busy pools on the same cores stall each other."""
    import torch

    torch.set_num_threads(threads)
