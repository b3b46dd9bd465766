"""Settings arrive as JSON and become dataclasses; what does not fit is named."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from rgi.errors import InputError

T = TypeVar("T")

_SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
}


def parse_json(text: str) -> dict[str, Any]:
    """Read a JSON object given on the command line.

    Raises:
        InputError: not JSON, or not an object.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"--settings: not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"--settings: {text!r}; expected a JSON object such as {{}}")
    return values


def read_settings(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `kind` from `values`; `where` opens the error messages.

    Raises:
        InputError: a key is unknown, missing or of the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        allowed = ", ".join(fields) or "none"
        raise InputError(f"{where}: unknown key {unknown[0]!r}; allowed: {allowed}")
    required = [n for n, field in fields.items() if field.default is dataclasses.MISSING]
    missing = [name for name in required if name not in values]
    if missing:
        raise InputError(f"{where}: key {missing[0]!r} is missing")
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        _check_scalar(hints[name], value, f"{where}: {name}")
    return kind(**values)


def choose(kinds: Mapping[str, T], name: object, where: str) -> T:
    """Look `name` up among `kinds`.

    Raises:
        InputError: there is no such entry; the message lists what there is.
    """
    if not isinstance(name, str) or name not in kinds:
        raise InputError(f"{where}: {name!r}; allowed: {', '.join(kinds)}")
    return kinds[name]


def _check_scalar(hint: object, value: object, where: str) -> None:
    if hint not in _SCALARS:
        return
    types, wanted = _SCALARS[hint]
    if isinstance(value, bool) or not isinstance(value, types):
        raise InputError(f"{where}: {value!r}; expected {wanted}")
