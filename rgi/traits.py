"""What a method is made of, in words for whoever has to choose one."""

from collections.abc import Mapping
from dataclasses import dataclass

NOTHING = "nothing"


@dataclass(frozen=True)
class Traits:
    """A method's place among its kin."""

    variables: str  # what is looked for
    fidelity: str  # what ties it to the image
    prior: str  # what else speaks for or against it
    needs: str  # what has to be known beside the image


def present(parts: Mapping[str, object]) -> str:
    """List the parts whose value says that they are there."""
    return ", ".join(part for part, there in parts.items() if there) or NOTHING
