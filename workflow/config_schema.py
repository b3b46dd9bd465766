"""The schemas of a config: what each key may be, its default, and how an error reads."""

import copy
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from rgi.errors import InputError

SCHEMAS = Path(__file__).parent / "schemas"


@functools.cache  # every method and case asks, in every job of a cluster
def read_schema(name: str) -> dict[str, Any]:
    """The schema of the whole config, or of a family's methods."""
    return yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())


def _with_defaults(validator: type[Draft202012Validator]) -> type[Draft202012Validator]:
    """A validator that fills in defaults before it looks (recipe of jsonschema's FAQ)."""
    check = validator.VALIDATORS["properties"]

    def fill(
        inner: Draft202012Validator, properties: dict, instance: Any, schema: dict
    ) -> Iterator[ValidationError]:
        if isinstance(instance, dict):
            for key, subschema in properties.items():
                if isinstance(subschema, dict) and "default" in subschema:
                    instance.setdefault(key, copy.deepcopy(subschema["default"]))
        yield from check(inner, properties, instance, schema)

    return extend(validator, {"properties": fill})


_Defaulting = _with_defaults(Draft202012Validator)


def validate(instance: Any, schema: dict, source: str, path: tuple[str, ...]) -> None:
    """Check a part of a config, which is at `path`, and fill in its defaults.

    Raises:
        InputError: one line: source, key, value, what is allowed.
    """
    error = best_match(_Defaulting(schema).iter_errors(instance))
    if error is None:
        return
    key = ".".join(str(part) for part in (*path, *error.absolute_path)) or "the whole file"
    allowed = ""
    if error.validator == "additionalProperties" and "properties" in error.schema:
        allowed = f"; allowed: {', '.join(error.schema['properties'])}"
    elif "description" in error.schema:
        allowed = f"; {error.schema['description']}"
    message = " ".join(error.message.split())
    raise InputError(f"{source}: {key}: {message}{allowed}")


def not_allowed(source: str, path: tuple[str, ...], value: object, allowed: str) -> InputError:
    """What to raise where a value is not one of those allowed."""
    return InputError(f"{source}: {'.'.join(path)}: {value!r} is not allowed; allowed: {allowed}")


def check_finite(value: object, source: str, path: tuple[str, ...]) -> None:
    """NaN passes every bound of a schema."""
    if isinstance(value, float) and not math.isfinite(value):
        raise not_allowed(source, path, value, "finite numbers")
    parts = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        parts = enumerate(value)
    for key, part in parts:
        check_finite(part, source, (*path, str(key)))
