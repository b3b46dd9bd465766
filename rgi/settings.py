"""Settings arrive as JSON and become dataclasses; what does not fit is named."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from rgi.errors import InputError

T = TypeVar("T")


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

    Types are strict, as in JSON: no text for a number, no true for 1; whole numbers may stand for
    floats and lists for tuples.

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
    return kind(**{name: _fit(hints[name], values[name], f"{where}: {name}") for name in values})


def _fit(hint: Any, value: Any, where: str) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    strict = TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))
    try:
        return strict.validate_json(json.dumps(value))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise InputError(f"{where}: {value!r}; {reason}") from None
