"""Settings from JSON fit their dataclass, or the message names what does not."""

from dataclasses import dataclass

import pytest

from rgi.errors import InputError
from rgi.settings import choose, parse_json, read_settings


@dataclass(frozen=True)
class Example:
    count: int
    weight: float = 1.0
    name: str | None = None
    flip: bool = False
    sizes: int | tuple[int, ...] = 1
    pair: tuple[float, float] = (0.0, 1.0)
    crop: str | dict[str, list[int]] = "centre"


def test_values_become_what_their_fields_are():
    values = {"count": 2, "weight": 10, "sizes": [1, 2], "pair": [0, 1], "crop": {"box": [1, 2]}}
    found = read_settings(Example, values, "here")
    assert found == Example(2, 10.0, sizes=(1, 2), pair=(0.0, 1.0), crop={"box": [1, 2]})
    assert isinstance(found.weight, float) and isinstance(found.pair[0], float)
    assert read_settings(Example, {"count": 2, "sizes": 3, "name": None}, "here").sizes == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "key 'count' is missing"),
        ({"count": 1, "cuont": 1}, "unknown key 'cuont'; allowed: count, weight, .*"),
        ({"count": 1.5}, "count: 1.5; .*valid integer.*"),
        ({"count": True}, "count: True; .*valid integer"),
        ({"count": None}, "count: None; .*valid integer"),
        ({"count": 1, "weight": "1"}, "weight: '1'; .*valid number"),
        ({"count": 1, "weight": float("nan")}, "weight: nan; .*finite number"),
        ({"count": 1, "weight": float("inf")}, "weight: inf; .*finite number"),
        ({"count": 1, "weight": 10**400}, "weight: 10+; .*number"),
        ({"count": 1, "name": 3}, "name: 3; .*valid string"),
        ({"count": 1, "flip": 1}, "flip: 1; .*valid boolean"),
        ({"count": 1, "sizes": [1, "2"]}, r"sizes: \[1, '2'\]; .*valid integer.*"),
        ({"count": 1, "pair": [1]}, r"pair: \[1\]; Field required"),
        ({"count": 1, "pair": [1, float("nan")]}, "pair: .*finite number"),
        ({"count": 1, "crop": {"box": [1.5]}}, "crop: .*"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(values, message):
    with pytest.raises(InputError, match=f"^here: {message}$"):
        read_settings(Example, values, "here")


def test_json_must_be_an_object():
    assert parse_json('{"a": 1}') == {"a": 1}
    with pytest.raises(InputError, match="^--settings: not valid JSON"):
        parse_json("{")
    with pytest.raises(InputError, match=r"^--table: '\[\]'; expected a JSON object"):
        parse_json("[]", "--table")


def test_a_name_is_chosen_among_those_there_are():
    assert choose({"a": 1, "b": 2}, "b", "here") == 2
    for name in ("c", None, 3, ["a"]):
        with pytest.raises(InputError, match="here: .*; allowed: a, b"):
            choose({"a": 1, "b": 2}, name, "here")
