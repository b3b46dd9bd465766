"""Check configs before Snakemake reads them: whether they are valid, and run no code.

python workflow/check.py experiments/NAME.yaml
"""

from pathlib import Path
from typing import Annotated

import typer
from config_reading import read_config

from rgi.command import run


def main(configfile: Annotated[list[Path], typer.Argument(help="overlays of config.yaml")]) -> None:
    """Say in one line what is wrong with CONFIGFILE; nothing in it is run."""
    read_config(configfile)


if __name__ == "__main__":
    run(main)
