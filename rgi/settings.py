"""Settings arrive as JSON and become dataclasses; what does not fit is named."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from rgi.errors import InputError

T = TypeVar("T")

_SCALARS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    types.NoneType: "null",
}


class _UnfitError(ValueError):
    """A value is not of the type that its field has."""


def parse_json(text: str, option: str = "--settings") -> dict[str, Any]:
    """Read a JSON object given on the command line.

    Raises:
        InputError: not JSON, or not an object; the message opens with `option`.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{option}: not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{option}: {text!r}; expected a JSON object such as {{}}")
    return values


def choose(kinds: Mapping[str, T], name: object, where: str) -> T:
    """Look `name` up among `kinds`.

    Raises:
        InputError: there is no such entry; the message lists what there is.
    """
    if not isinstance(name, str) or name not in kinds:
        raise InputError(f"{where}: {name!r}; allowed: {', '.join(kinds)}")
    return kinds[name]


def read_settings(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `kind` from `values`; `where` opens the error messages.

    Fields may be int, float, str, bool, None, tuples, lists and dicts of these, and unions. Whole
    numbers become float, and lists become tuples, where the field is one.

    Raises:
        InputError: a key is unknown, missing or of the wrong type, or a number is not finite.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        allowed = ", ".join(fields) or "none"
        raise InputError(f"{where}: unknown key {unknown[0]!r}; allowed: {allowed}")
    required = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    missing = [name for name in required if name not in values]
    if missing:
        raise InputError(f"{where}: key {missing[0]!r} is missing")
    hints = typing.get_type_hints(kind)
    fitted = {}
    for name, value in values.items():
        try:
            fitted[name] = _fit(hints[name], value)
        except _UnfitError:
            raise InputError(
                f"{where}: {name}: {value!r}; expected {_describe(hints[name])}"
            ) from None
    return kind(**fitted)


def _fit(hint: Any, value: Any) -> Any:
    """Return `value` as `hint` has it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _fit_any(arguments, value)
    if origin is dict and isinstance(value, dict):
        return {_fit(arguments[0], k): _fit(arguments[1], v) for k, v in value.items()}
    if origin in (tuple, list) and isinstance(value, list | tuple):
        inner = arguments[:1] * len(value) if _is_open(origin, arguments) else arguments
        if len(inner) == len(value):
            return origin(_fit(part, v) for part, v in zip(inner, value, strict=True))
    if hint is float:
        return _fit_float(value)
    # bool is an int to Python.
    if hint in _SCALARS and isinstance(value, hint) and (hint is bool) == isinstance(value, bool):
        return value
    raise _UnfitError


def _fit_any(hints: tuple[Any, ...], value: Any) -> Any:
    for hint in hints:
        try:
            return _fit(hint, value)
        except _UnfitError:
            continue
    raise _UnfitError


def _fit_float(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _UnfitError
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        raise _UnfitError from None
    if not math.isfinite(number):
        raise _UnfitError
    return number


def _is_open(origin: type, arguments: tuple[Any, ...]) -> bool:
    return origin is list or arguments[1:] == (Ellipsis,)


def _describe(hint: Any) -> str:
    """Name a type in words, for a message."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_describe(part) for part in arguments)
    if origin in (tuple, list):
        count = "" if _is_open(origin, arguments) else f" of {len(arguments)}"
        return f"a list{count} (each {_describe(arguments[0])})"
    return "an object" if origin is dict else _SCALARS[hint]
