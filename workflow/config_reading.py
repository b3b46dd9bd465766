"""A config as it is read: checked, with defaults, as an experiment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from config_checks import check
from config_schema import check_finite, not_allowed, read_schema, validate
from experiment import Experiment, Method

from rgi.baselines import FILTERS, LOW_RANK
from rgi.baselines.detectors import read_detector
from rgi.errors import InputError
from rgi.inversion.methods import configured
from rgi.projection.methods import configured as configured_projection
from rgi.settings import read_settings

PRESETS = {"filters": FILTERS, "low-rank": LOW_RANK}  # families whose methods are listed by name
FAMILIES = tuple(sorted(p.stem for p in (Path(__file__).parent / "rules/methods").glob("*.smk")))


def read_config(configfiles: Sequence[Path]) -> Experiment:
    """The default experiment with overlays, merged as Snakemake does; nothing in them is run.

    Raises:
        InputError: as `read_experiment`, or a file is missing, no YAML or asks for code to be run.
    """
    from snakemake.utils import update_config

    config: dict = {}
    for path in (Path(__file__).parent.parent / "config.yaml", *configfiles):
        update_config(config, read_data(path))
    return read_experiment(config, " + ".join(map(str, configfiles)) or "config.yaml")


def read_data(path: Path) -> dict[str, Any]:
    """A config file as data alone: Snakemake would run the Python in one that has __use_yte__.

    Raises:
        InputError: it is missing, holds anything else, or has that key.
    """
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: no readable YAML ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: {type(found).__name__}; expected keys and values")
    if "__use_yte__" in found:
        raise InputError(f"{path}: __use_yte__: a config must not run code; remove the key")
    return found


def read_experiment(config: dict[str, Any], source: str) -> Experiment:
    """Check a config and fill in its defaults.

    Args:
        config: as YAML gives it; changed in place.
        source: the file or files it came from, for the messages.

    Raises:
        InputError: one line: source, key, value, what is allowed.
    """
    check_finite(config, source, ())
    validate(config, read_schema("config"), source, ())
    for name, entry in config["methods"].items():
        path = ("methods", name)
        if entry["family"] not in FAMILIES:
            raise not_allowed(
                source, (*path, "family"), entry["family"], f"one of {', '.join(FAMILIES)}"
            )
        validate(entry, read_schema(f"methods/{entry['family']}"), source, path)
    methods = {name: _method(name, entry, source) for name, entry in config["methods"].items()}
    experiment = Experiment(config, methods)
    check(experiment, source)
    return experiment


def _method(name: str, entry: Mapping[str, Any], source: str) -> Method:
    preset = entry.get("preset", name)
    settings = entry.get("settings", {})
    needs_mask, finds_mask = entry.get("needs_mask", False), entry.get("finds_mask", False)
    needs_operator = False
    together, restores = entry.get("together", False), entry.get("restores", True)
    try:
        if entry["family"] == "inversion":
            known = configured(preset, settings)
            needs_mask, finds_mask, needs_operator, has_lambda = (
                known.needs_mask,
                known.finds_mask,
                known.needs_operator,
                known.has_lambda,
            )
        elif entry["family"] == "projection":
            projecting = configured_projection(preset, settings)
            needs_mask, has_lambda = projecting.needs_mask, projecting.has_lambda
        elif entry["family"] in PRESETS:
            presets = PRESETS[entry["family"]]
            if preset not in presets:
                raise InputError(f"preset {preset!r} is unknown; allowed: {', '.join(presets)}")
            read_settings(presets[preset].settings, settings, "settings")
            has_lambda = presets[preset].has_lambda
        elif entry["family"] == "anomalib":
            read_detector(settings, "settings")
            has_lambda, restores = False, False
        else:
            has_lambda = "lam" in entry
    except InputError as error:
        raise InputError(f"{source}: methods.{name}: {error}") from None
    if together and not has_lambda:
        raise InputError(f"{source}: methods.{name}.together: {preset} has no lambda")
    if has_lambda != ("lam" in entry):
        need = "needs a grid `lam`" if has_lambda else "has no lambda; remove the key `lam`"
        raise InputError(f"{source}: methods.{name}.lam: {preset} {need}")
    lams = tuple(str(lam) for lam in entry["lam"]) if has_lambda else ("none",)
    return Method(
        name,
        entry["family"],
        preset,
        lams,
        settings,
        needs_mask,
        finds_mask,
        together,
        restores,
        needs_operator,
    )
