"""Write the conda file that holds the same pinned software as the lock."""

import re
import sys
from pathlib import Path

HEADER = """\
# Made by `make lock` from {lock}: the same versions for `snakemake --sdm conda`.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def conda_file(path: Path) -> str:
    """The conda environment for a requirements file: its pins and markers, without hashes."""
    lock = path.read_text()
    pins = re.findall(r"^([A-Za-z0-9][^\\\n]*==[^\\\n]*?)\s*\\?$", lock, flags=re.MULTILINE)
    return HEADER.format(lock=path.name) + "".join(f'      - "{pin}"\n' for pin in pins)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(conda_file(Path(sys.argv[1])))
