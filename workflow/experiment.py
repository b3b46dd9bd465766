"""What the config asks for: checked, with defaults, as the lists that the rules need."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from rgi.baselines import FILTERS, LOW_RANK
from rgi.baselines.detectors import read_detector
from rgi.corruption import library_hash
from rgi.data import PUBLICATIONS, companions, unpacked_name
from rgi.data.counts import INSPECTED
from rgi.data.downloads import OTHER_BYTES
from rgi.data.lsun import PARTS as BEDROOMS
from rgi.errors import InputError
from rgi.inversion.methods import configured
from rgi.reporting.published import is_as_published
from rgi.settings import read_settings

SCHEMAS = Path(__file__).parent / "schemas"
NAMED = ("datasets", "cases", "methods")  # parts of a config of which a table names some
GROUP = 4  # rgi.models.progressive.GROUP, without waiting for torch
PRESETS = {"filters": FILTERS, "low-rank": LOW_RANK}  # families whose methods are listed by name
FAMILIES = tuple(sorted(p.stem for p in (Path(__file__).parent / "rules/methods").glob("*.smk")))


@dataclass(frozen=True)
class Method:
    """One entry of `methods`, as the rules see it."""

    name: str
    family: str
    preset: str
    lams: tuple[str, ...]  # as written in the config; ("none",) without a lambda
    settings: Mapping[str, Any]
    needs_mask: bool
    finds_mask: bool
    together: bool  # one job for all lambdas
    restores: bool = True  # if not, it only finds corrupted pixels

    @property
    def mask(self) -> str:
        """What `score > 0.5` is to the method: a mask `given` or `found`, or `none`."""
        return "given" if self.needs_mask else "found" if self.finds_mask else "none"

    @property
    def restores_option(self) -> str:
        """How scripts are told that there are no restored images, or nothing."""
        return "" if self.restores else "--no-restores"


@dataclass(frozen=True)
class Experiment:
    """A valid config. Data sets, cases and shards of a job are found by name."""

    config: Mapping[str, Any]
    methods: Mapping[str, Method]

    def table(self, name: str) -> Mapping[str, Any]:
        """A table as data sets, cases and methods; a simulation's levels become cases.

        The solver table also has its lambda as text, and its lines as pairs, whose order is that
        of the legend.
        """
        table = self.config["tables"][name]
        if name == "simulation":
            cases = self._simulated_cases(table["levels"])
            return {"datasets": [table["dataset"]], "cases": cases, "methods": table["methods"]}
        if name == "solver":
            lines = table["lines"]
            return {
                "datasets": table["datasets"],
                "cases": [*table["cases"], *self._simulated_cases(table["levels"])],
                "methods": list(dict.fromkeys(m for methods in lines.values() for m in methods)),
                "lines": list(lines.items()),
                "lam": str(table["lam"]),
            }
        return {key: table[key] for key in ("datasets", "cases", "methods")}

    def _simulated_cases(self, levels: list[float]) -> list[str]:
        """The one place that names a level's case; names hold no underscore of their own."""
        table = self.config["tables"]["simulation"]
        return [f"{table['case']}_{level}" for level in levels]

    def rows(self, name: str) -> Iterator[tuple[str, str, str]]:
        """Every (data set, case, method) of a table."""
        table = self.table(name)
        for dataset in table["datasets"]:
            for case in table["cases"]:
                for method in table["methods"]:
                    yield dataset, case, method

    def files(self, pattern: str, table: str) -> list[str]:
        """The pattern filled in for every row of a table; none for one that is not asked for."""
        if self.config["tables"][table] is None:
            return []
        names = ("dataset", "case", "method")
        return [pattern.format(**dict(zip(names, row, strict=True))) for row in self.rows(table)]

    def tables(self) -> list[str]:
        """Names of the tables asked for."""
        return [name for name, table in self.config["tables"].items() if table is not None]

    def datasets(self) -> list[str]:
        """Data sets that some table names."""
        return list(
            dict.fromkeys(d for name in self.tables() for d in self.table(name)["datasets"])
        )

    def training_series(self) -> list[list[str]]:
        """Data sets of the anomaly-detection table that differ in their training images alone."""
        table = self.config["tables"]["anomaly-detection"]
        alike: dict[str, list[str]] = {}
        for name in table["datasets"] if table else []:
            entry = {k: v for k, v in self.config["datasets"][name].items() if k != "train"}
            alike.setdefault(as_json([entry, self.config["generators"].get(name)]), []).append(name)
        return [names for names in alike.values() if len(names) > 1]

    def library(self, case: str) -> str | None:
        """The hash of the user's own library of masks that a case draws from, if it does."""
        entry = self.config["cases"][case]
        if entry["corruption"] != "library" or entry["path"] is None:
            return None
        return library_hash(Path(entry["path"]), entry["kinds"])

    def collected(self, case: str) -> list[str]:
        """The masks of a public set that a case draws from, if it does."""
        source = self.config["cases"][case].get("source")
        return [] if source is None else [f"results/libraries/{source}.zip"]

    def reads_pictures(self, dataset: str) -> bool:
        """Whether a data set's images are files, which several threads can read side by side."""
        embedded_or_cut = ("digits", "brick", "magnetic-tile")
        return self.config["datasets"][dataset]["source"] not in embedded_or_cut

    def case(self, dataset: str, name: str) -> dict[str, Any]:
        """A case's settings on one data set, as the library reads them."""
        others = ("source", "settings")  # where masks are from, and what methods do
        entry = {k: v for k, v in self.config["cases"][name].items() if k not in others}
        for path in self.collected(name):
            entry["path"] = path
        changes = entry.pop("per_dataset", {})
        return entry | changes.get(dataset, {})

    def simulated(self, dataset: str, case: str) -> Mapping[str, Any]:
        """Settings of a simulation's case at any level: its corruption and how many images."""
        return {
            **self.case(dataset, case),
            "images": self.config["tables"]["simulation"]["images"],
        }

    def as_published(self) -> list[str]:
        """The `dataset/case` of the inpainting table that are set up as in the RGI paper."""
        table, datasets = self.config["tables"], self.config["datasets"]
        return [
            f"{dataset}/{case}"
            for dataset in table["inpainting"]["datasets"]
            for case in table["inpainting"]["cases"]
            if is_as_published(dataset, datasets[dataset], case, self.case(dataset, case))
        ]

    def images(self, dataset: str, case: str) -> int:
        """How many images a case holds."""
        if "_" in case:  # only a simulation's case has a level in its name
            return self.config["tables"]["simulation"]["images"]
        entry = self.config["datasets"][dataset]
        return entry["test"] + entry.get("normal", 0)

    def detection_megabytes(self, dataset: str, case: str, method: str) -> int:
        """Memory for the maps of a case at all of a method's lambdas, and for what is made of them.

        Measured: 390 bytes a pixel for 12 lambdas, 110 for 5, beside a few hundred MB.
        """
        pixels = self.images(dataset, case) * self.config["datasets"][dataset]["resolution"] ** 2
        return 1000 + pixels * (200 + 32 * len(self.methods[method].lams)) // 10**6

    def beside_test(self, dataset: str) -> tuple[str, ...]:
        """The files that a data set has beside test.npy, masks, kinds and groups in this order."""
        return companions(self.config["datasets"][dataset])

    def datasets_with(self, *beside: str) -> str:
        """A regular expression of the data sets that have these files beside test.npy, no other."""
        found = [name for name in self.config["datasets"] if self.beside_test(name) == beside]
        return _any_of(found)

    def archives(self, dataset: str) -> list[str]:
        """What a data set is made of: the user's own files or folders, or files to download."""
        entry = self.config["datasets"][dataset]
        source, own = entry["source"], _listed(entry.get("archive"))
        if own or source not in PUBLICATIONS:
            return own
        return [f"results/downloads/{source}/{file.name}" for file in PUBLICATIONS[source].files]

    @property
    def _from_publishers(self) -> bool:
        """Whether downloads have the registered bytes: a folder as mirror may hold other ones."""
        mirror = self.config["mirror"]
        return mirror is None or "://" in mirror

    def registered_option(self, dataset: str) -> str:
        """How the script is told that archives must have the registered bytes, or nothing."""
        entry = self.config["datasets"][dataset]
        downloaded = entry["source"] in PUBLICATIONS and not entry.get("archive")
        return "--registered" if downloaded and self._from_publishers else ""

    def of_other_bytes(self) -> list[str]:
        """Data sets that are there already, made of other files than would be downloaded."""
        infos = {
            name: Path(f"results/datasets/{name}/info.yaml")
            for name in self.datasets()
            if self.registered_option(name)
        }
        return [
            name
            for name, info in infos.items()
            if info.exists() and OTHER_BYTES in " ".join(info.read_text().split())  # unfolded
        ]

    def registered_source(self, owner: str) -> str:
        """How the script is told of which source an archive must have the bytes, or nothing."""
        downloaded = owner in PUBLICATIONS
        return f"--registered {owner}" if downloaded and self._from_publishers else ""

    def unpacked(self, dataset: str) -> list[str]:
        """What those of a data set's files that cannot be read in place are unpacked to."""
        entry = self.config["datasets"][dataset]
        # Files to download are the same for all data sets of a source.
        owner = f"own-{dataset}" if entry.get("archive") else entry["source"]
        files = [path for path in self.archives(dataset) if not Path(path).is_dir()]
        names = [name for name in map(unpacked_name, files) if name is not None]
        return [f"results/unpacked/{owner}/{name}" for name in names]

    def packed(self, unpacked: str) -> str:
        """The file that results/unpacked/`unpacked` is unpacked from."""
        owner, name = unpacked.split("/")
        if owner in PUBLICATIONS:
            files = [f"results/downloads/{owner}/{f.name}" for f in PUBLICATIONS[owner].files]
        else:
            files = self.archives(owner.removeprefix("own-"))
        return next(file for file in files if unpacked_name(file) == name)

    def imported(self, dataset: str) -> Mapping[str, Any] | None:
        """The key `import` of a data set's generator, if it is not trained here."""
        return self.config["generators"].get(dataset, {}).get("import")

    def generators(self, kind: str) -> str:
        """A regular expression of the data sets whose generator is `trained`, or comes from a file.

        Which comes with a discriminator or `alone`.
        """
        found = [name for name in self.config["generators"] if self._origin(name) == kind]
        return _any_of(found)

    def _origin(self, dataset: str) -> str:
        if self.imported(dataset) is None:
            return "trained"
        return "imported" if self.discriminator(dataset) else "alone"

    def discriminator(self, dataset: str) -> list[str]:
        """The discriminator's file, if there is one."""
        entry = self.imported(dataset)
        alone = entry and entry["format"] == "rgi" and "discriminator" not in entry
        return [] if alone else [f"results/generators/{dataset}/discriminator.pt"]

    def weights(self, dataset: str) -> dict[str, str]:
        """The file of each imported network: the user's own, or one that is downloaded."""
        return {
            name: entry.get("file") or f"results/downloads/generators/{dataset}/{name}.pt"
            for name, entry in self.weights_entries(dataset).items()
        }

    def weights_options(self, dataset: str) -> list[str]:
        """How the script is told which files to import."""
        options = ["--format", self.imported(dataset)["format"]]
        entries, files = self.weights_entries(dataset), self.weights(dataset)
        for name, option in ("generator", "--sha256"), ("discriminator", "--discriminator-sha256"):
            if name in entries:
                options += [f"--{name}", files[name]]
                options += [option, entries[name]["sha256"]] if "sha256" in entries[name] else []
        return options

    def weights_entries(self, dataset: str) -> dict[str, Mapping[str, Any]]:
        """What the config says of each imported network's file."""
        entry = self.imported(dataset)
        judging = entry.get("discriminator")
        return {"generator": entry} | ({} if judging is None else {"discriminator": judging})

    def backbone(self, method: str) -> list[str]:
        """The user's own file of a detector's pretrained weights, if there is one."""
        file = self.methods[method].settings.get("backbone_weights")
        return [] if file is None else [file]

    def settings(self, case: str, method: str) -> Mapping[str, Any]:
        """A method's settings; some may be those of the case."""
        name = case.partition("_")[0]  # a simulation's case has a level in its name
        changed = self.config["cases"][name]["settings"].get(method)
        return {**self.methods[method].settings, **(changed or {})}

    def shards(self, dataset: str, case: str) -> range:
        """Numbers of the shards of a case."""
        return range(-(-self.images(dataset, case) // self.config["shard_size"]))

    def restorations(self, dataset: str, case: str, method: str) -> list[str]:
        """Every restoration file of one method on one case."""
        return [
            f"results/restorations/{dataset}/{case}/{method}/{lam}/{shard}.npz"
            for lam in self.methods[method].lams
            for shard in self.shards(dataset, case)
        ]

    def shard_rows(self, dataset: str, case: str, shard: int) -> tuple[int, int]:
        """First row of a shard and the row after its last."""
        first = shard * self.config["shard_size"]
        return first, min(first + self.config["shard_size"], self.images(dataset, case))

    def family(self, name: str) -> str:
        """A regular expression of a family's methods, but those whose lambdas go together."""
        return _any_of(
            [m.name for m in self.methods.values() if m.family == name and not m.together]
        )

    def asked(self, family: str) -> list[Method]:
        """A family's methods that some table names."""
        named = {name for table in self.tables() for name in self.table(table)["methods"]}
        return [m for m in self.methods.values() if m.family == family and m.name in named]

    def together(self, family: str) -> list[Method]:
        """A family's methods of which one job computes all lambdas."""
        return [m for m in self.methods.values() if m.family == family and m.together]


def read_experiment(config: dict[str, Any], source: str) -> Experiment:
    """Check a config and fill in its defaults.

    Args:
        config: as YAML gives it; changed in place.
        source: the file or files it came from, for the messages.

    Raises:
        InputError: one line: source, key, value, what is allowed.
    """
    _check_finite(config, source, ())
    _validate(config, _schema("config"), source, ())
    for name, entry in config["methods"].items():
        path = ("methods", name)
        if entry["family"] not in FAMILIES:
            raise _error(
                source, (*path, "family"), entry["family"], f"one of {', '.join(FAMILIES)}"
            )
        _validate(entry, _schema(f"methods/{entry['family']}"), source, path)
    methods = {name: _method(name, entry, source) for name, entry in config["methods"].items()}
    experiment = Experiment(config, methods)
    _check_generators(config, source)
    for name in config["datasets"]:
        _check_dataset(config, name, source)
        _check_unpacked(experiment, name, source)
    for name in config["cases"]:
        _check_case(experiment, name, source)
    for method in methods.values():
        _check_backbone(method, source)
    _check_mirror(config["mirror"], source)
    _check_tables(experiment, source)
    _check_judged(experiment, source)
    _check_metrics(experiment, source)
    return experiment


def as_json(value: object) -> str:
    """JSON in one spelling: the order of keys in a config must not rerun a job."""
    return json.dumps(value, sort_keys=True)


def _listed(archive: str | list[str] | None) -> list[str]:
    """The key `archive` as a list."""
    return [archive] if isinstance(archive, str) else list(archive or [])


def _any_of(names: Sequence[str]) -> str:
    """A regular expression of some names."""
    return "|".join(map(re.escape, names)) or "$."  # matches nothing


def lam_options(lams: Sequence[str], files: Sequence[str]) -> list[str]:
    """Options of a job that restores for several lambdas: --lam and --output of each."""
    pairs = zip(lams, files, strict=True)
    return [word for lam, file in pairs for word in ("--lam", lam, "--output", str(file))]


def _schema(name: str) -> dict[str, Any]:
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
                    instance.setdefault(key, subschema["default"])
        yield from check(inner, properties, instance, schema)

    return extend(validator, {"properties": fill})


_Defaulting = _with_defaults(Draft202012Validator)


def _validate(instance: Any, schema: dict, source: str, path: tuple[str, ...]) -> None:
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


def _error(source: str, path: tuple[str, ...], value: object, allowed: str) -> InputError:
    return InputError(f"{source}: {'.'.join(path)}: {value!r} is not allowed; allowed: {allowed}")


def _check_finite(value: object, source: str, path: tuple[str, ...]) -> None:
    """NaN passes every bound of a schema."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(source, path, value, "finite numbers")
    parts = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        parts = enumerate(value)
    for key, part in parts:
        _check_finite(part, source, (*path, str(key)))


def _method(name: str, entry: Mapping[str, Any], source: str) -> Method:
    preset = entry.get("preset", name)
    settings = entry.get("settings", {})
    needs_mask, finds_mask = entry.get("needs_mask", False), entry.get("finds_mask", False)
    together, restores = entry.get("together", False), entry.get("restores", True)
    try:
        if entry["family"] == "inversion":
            known = configured(preset, settings)
            needs_mask, finds_mask, has_lambda = (
                known.needs_mask,
                known.finds_mask,
                known.has_lambda,
            )
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
    )


def _check_generators(config: Mapping[str, Any], source: str) -> None:
    if config["gpus"] > 1 and config["device"] == "cpu":
        raise _error(source, ("gpus",), config["gpus"], "1 with device cpu")
    for name, generator in config["generators"].items():
        if name not in config["datasets"]:
            raise _error(source, ("generators", name), name, ", ".join(config["datasets"]))
        if "import" in generator:
            _check_import(generator["import"], name, source)
            continue
        levels = config["datasets"][name]["resolution"].bit_length() - 2
        if len(generator["widths"]) != levels:
            raise _error(
                source,
                ("generators", name, "widths"),
                generator["widths"],
                f"{levels} numbers, one per level from 4 x 4 to the data set's resolution",
            )
        _check_batch(config, name, source)


def _check_import(entry: Mapping[str, Any], name: str, source: str) -> None:
    for path, part in ((), entry), (("discriminator",), entry.get("discriminator", {})):
        file = part.get("file")
        if file is not None and not Path(file).is_file():
            key = ("generators", name, "import", *path, "file")
            raise _error(source, key, file, "an existing file")


def _check_judged(experiment: Experiment, source: str) -> None:
    """Some methods need a discriminator, which an imported generator may come without."""
    for table in experiment.tables():
        for dataset, case, name in experiment.rows(table):
            method = experiment.methods[name]
            if method.family != "inversion" or experiment.discriminator(dataset):
                continue
            known = configured(method.preset, experiment.settings(case, name))
            if known.needs_discriminator:
                raise InputError(
                    f"{source}: generators.{dataset}.import: key 'discriminator' is missing, which "
                    f"method {name!r} needs; or set its critic_weight, explore_critic_weight and "
                    "feature_weight to 0"
                )


def _check_batch(config: Mapping[str, Any], name: str, source: str) -> None:
    """Every GPU takes whole groups of images of a batch."""
    batch, share = config["generators"][name]["batch"], GROUP * config["gpus"]
    if any(size % share for size in (batch if isinstance(batch, list) else [batch])):
        allowed = f"multiples of {share}, {GROUP} for each of {config['gpus']} GPUs (key gpus)"
        raise _error(source, ("generators", name, "batch"), batch, allowed)


def _check_backbone(method: Method, source: str) -> None:
    file = method.settings.get("backbone_weights")
    if file is not None and not Path(file).is_file():
        path = ("methods", method.name, "settings", "backbone_weights")
        raise _error(source, path, file, "an existing file")


def _check_mirror(mirror: str | None, source: str) -> None:
    if mirror is None or mirror.startswith(("http://", "https://")):
        return
    if "://" in mirror or not Path(mirror).is_dir():
        allowed = "an existing folder or a base URL, http or https"
        raise _error(source, ("mirror",), mirror, allowed)


def _check_dataset(config: Mapping[str, Any], name: str, source: str) -> None:
    dataset, path = config["datasets"][name], ("datasets", name)
    if dataset["test"] < config["folds"]:
        allowed = f"at least as many images as folds ({config['folds']})"
        raise _error(source, (*path, "test"), dataset["test"], allowed)
    for key in ("path", "masks"):
        folder = dataset.get(key)
        if folder is not None and not Path(folder).is_dir():
            raise _error(source, (*path, key), folder, "an existing folder")
    _check_archive(dataset, source, path)
    if dataset.get("part") == "clean" and dataset["normal"]:
        raise _error(source, (*path, "normal"), dataset["normal"], "0 with part clean")
    _check_held_out(dataset, source, path)
    _check_published(dataset, source, path)
    for key in ("normal", "kinds"):
        if dataset["source"] == "folder" and dataset[key] and dataset["masks"] is None:
            raise _error(source, (*path, key), dataset[key], "with the key masks only")


def _check_archive(dataset: Mapping[str, Any], source: str, path: tuple[str, ...]) -> None:
    archives = _listed(dataset.get("archive"))
    for archive in archives:
        if not Path(archive).exists():
            raise _error(source, (*path, "archive"), archive, "an existing file or folder")
    stems = [Path(archive).stem for archive in archives]
    if dataset["source"] == "lsun-bedroom" and stems and sorted(stems) != sorted(BEDROOMS):
        allowed = f"two zip files or folders, {' and '.join(BEDROOMS)}"
        raise _error(source, (*path, "archive"), ", ".join(archives), allowed)


def _check_held_out(dataset: Mapping[str, Any], source: str, path: tuple[str, ...]) -> None:
    held_out, images = dataset.get("held_out"), dataset.get("images")
    if held_out is None:
        return
    if dataset["test"] > held_out:
        allowed = f"at most {held_out}, the key held_out"
        raise _error(source, (*path, "test"), dataset["test"], allowed)
    if images is not None and held_out >= images:
        allowed = f"less than {images}, the key images"
        raise _error(source, (*path, "held_out"), held_out, allowed)
    if dataset["source"] == "cars" and dataset["archive"] is None:
        allowed = "null without the key archive: what is downloaded has a test part"
        raise _error(source, (*path, "held_out"), held_out, allowed)


def _check_published(dataset: Mapping[str, Any], source: str, path: tuple[str, ...]) -> None:
    """How many images there are, of a product whose archive is the publisher's."""
    name = dataset.get("product", dataset.get("category"))
    if name not in INSPECTED or dataset["archive"] is not None:
        return
    count, defects = INSPECTED[name], dataset["part"] == "defects"
    most = {"test": count.defects if defects else count.train - 1, "normal": count.normal}
    for key, number in most.items():
        if dataset[key] > number:
            raise _error(source, (*path, key), dataset[key], f"at most {number} of {name}")


def _check_unpacked(experiment: Experiment, name: str, source: str) -> None:
    """What a data set's own archives unpack to lies in one folder."""
    files = experiment.unpacked(name)
    for file in files:
        if files.count(file) > 1:
            archives = ", ".join(experiment.archives(name))
            allowed = f"files of different names, since two unpack to {Path(file).name}"
            raise _error(source, ("datasets", name, "archive"), archives, allowed)


def _check_case(experiment: Experiment, name: str, source: str) -> None:
    case, path = experiment.config["cases"][name], ("cases", name)
    _check_changed(experiment, name, source)
    for dataset in case.get("per_dataset", ()):
        if dataset not in experiment.config["datasets"]:
            names = ", ".join(experiment.config["datasets"])
            raise _error(source, (*path, "per_dataset"), dataset, names)
    low, high = case.get("area", (0, 1))
    if low > high:
        raise _error(source, (*path, "area"), [low, high], "the least area first")
    if case["corruption"] == "library":
        own = case["path"]
        if (own is None) == (case["source"] is None):
            raise _error(source, (*path, "path"), own, "either a path or a source")
        if own is not None and not Path(own).exists():
            raise _error(source, (*path, "path"), own, "an existing folder or archive")
    try:
        experiment.library(name)
    except InputError as error:
        raise InputError(f"{source}: cases.{name}: {error}") from None


def _check_tables(experiment: Experiment, source: str) -> None:
    config = experiment.config
    if not experiment.tables():
        raise InputError(
            f"{source}: tables: all are null; ask for one of {', '.join(config['tables'])}"
        )
    for name in experiment.tables():
        table = config["tables"][name]
        _check_names(config, name, source)
        for dataset in table.get("datasets") or [table["dataset"]]:
            if dataset not in config["generators"]:
                raise InputError(f"{source}: generators: no entry for data set {dataset!r}")
            for case in table.get("cases") or [table["case"]]:
                _check_block(experiment, dataset, case, source)
                if name in ("inpainting", "anomaly-detection"):
                    _check_given(config, name, dataset, case, source)
    checks = {
        "inpainting": _check_inpainting,
        "anomaly-detection": _check_detection,
        "simulation": _check_simulation,
        "solver": _check_solver,
    }
    for name, check in checks.items():
        if config["tables"][name] is not None:
            check(experiment, config["tables"][name], source)


def _check_names(config: Mapping[str, Any], table: str, source: str) -> None:
    """Whether what a table names exists, be it one or a list."""
    for key, named in config["tables"][table].items():
        kind = key if key in NAMED else f"{key}s"
        if kind not in NAMED:
            continue
        for name in [named] if isinstance(named, str) else named:
            if name not in config[kind]:
                raise _error(source, ("tables", table, key), name, ", ".join(config[kind]))


def _has_masks(config: Mapping[str, Any], dataset: str) -> bool:
    return "test_masks.npy" in companions(config["datasets"][dataset])


def _check_given(
    config: Mapping[str, Any], table: str, dataset: str, case: str, source: str
) -> None:
    """Images that have masks are corrupted already, those without are clean."""
    given = config["cases"][case]["corruption"] == "given"
    has_masks = _has_masks(config, dataset)
    if given and not has_masks:
        entry = config["datasets"][dataset]
        if entry["source"] != "folder":
            key = "part" if "part" in entry else "source"
            allowed = f"one with masks, which case {case!r} needs"
            raise _error(source, ("datasets", dataset, key), entry[key], allowed)
        allowed = f"a folder of masks, which case {case!r} needs"
        raise _error(source, ("datasets", dataset, "masks"), None, allowed)
    if has_masks and not given:
        allowed = f"cases of corruption given, since data set {dataset!r} has masks"
        raise _error(source, ("tables", table, "cases"), case, allowed)


def _check_block(experiment: Experiment, dataset: str, case: str, source: str) -> None:
    size = experiment.case(dataset, case).get("size", 0)
    resolution = experiment.config["datasets"][dataset]["resolution"]
    if size > resolution:
        own = "size" in experiment.config["cases"][case].get("per_dataset", {}).get(dataset, {})
        path = ("cases", case, *(("per_dataset", dataset) if own else ()), "size")
        allowed = f"at most {resolution}, the resolution of data set {dataset}"
        raise _error(source, path, size, allowed)


def _check_inpainting(experiment: Experiment, table: Mapping[str, Any], source: str) -> None:
    for name in table["methods"]:
        if not experiment.methods[name].restores:
            path = ("tables", "inpainting", "methods")
            raise _error(source, path, name, "methods that restore images")


def _check_detection(experiment: Experiment, table: Mapping[str, Any], source: str) -> None:
    for name in table["methods"]:
        if experiment.methods[name].needs_mask:
            path = ("tables", "anomaly-detection", "methods")
            raise _error(source, path, name, "methods that are not given the mask")


def _check_changed(experiment: Experiment, case: str, source: str) -> None:
    """The settings that methods have on a case in place of their own."""
    path = ("cases", case, "settings")
    for name, settings in experiment.config["cases"][case]["settings"].items():
        _check_inverts(experiment, name, source, path)
        method = experiment.methods[name]
        if settings is not None:
            schema = _schema("methods/inversion")["properties"]["settings"]
            _validate(settings, schema, source, (*path, name))
        try:
            configured(method.preset, experiment.settings(case, name))
        except InputError as error:
            raise InputError(f"{source}: {'.'.join((*path, name))}: {error}") from None


def _check_simulation(experiment: Experiment, table: Mapping[str, Any], source: str) -> None:
    config = experiment.config
    case = config["cases"][table["case"]]
    kind = case["fill"]["kind"] if "fill" in case else case["corruption"]
    if kind != "noise":
        raise _error(source, ("cases", table["case"], "fill.kind"), kind, "noise")
    if table["images"] < config["folds"]:
        allowed = f"at least as many images as folds ({config['folds']})"
        raise _error(source, ("tables.simulation.images",), table["images"], allowed)


def _check_inverts(experiment: Experiment, name: str, source: str, path: tuple[str, ...]) -> None:
    inverting = [m.name for m in experiment.methods.values() if m.family == "inversion"]
    if name not in inverting:
        raise _error(source, path, name, f"methods that invert: {', '.join(inverting)}")


def _check_solver(experiment: Experiment, table: Mapping[str, Any], source: str) -> None:
    config, path = experiment.config, ("tables", "solver")
    for case in table["cases"]:
        if config["cases"][case]["corruption"] == "given":
            raise _error(source, (*path, "cases"), case, "cases whose clean images are known")
    for dataset in table["datasets"]:
        if _has_masks(config, dataset):
            allowed = "data sets without masks, whose images are clean"
            raise _error(source, (*path, "datasets"), dataset, allowed)
        if table["levels"]:
            _check_level(experiment, dataset, table["levels"], source)
    for line, methods in table["lines"].items():
        for name in methods:
            _check_inverts(experiment, name, source, (*path, "lines", line))
            _check_on_grid(experiment.methods[name], table["lam"], source)


def _check_level(experiment: Experiment, dataset: str, levels: list[float], source: str) -> None:
    """The solver's levels are of the simulation table's case, on another generator's images too."""
    simulation = experiment.config["tables"]["simulation"]
    if simulation is None:
        allowed = "[] without the table simulation, whose case the levels are of"
        raise _error(source, ("tables", "solver", "levels"), levels, allowed)
    _check_block(experiment, dataset, simulation["case"], source)


def _check_on_grid(method: Method, lam: float, source: str) -> None:
    if method.lams != ("none",) and str(lam) not in method.lams:
        allowed = f"one of {', '.join(method.lams)}, the grid of {method.name}"
        raise _error(source, ("tables", "solver", "lam"), lam, allowed)


def _check_metrics(experiment: Experiment, source: str) -> None:
    """What a table or figure is made of must be scored."""
    config, scored = experiment.config, set(experiment.config["metrics"])
    needed = []
    if config["tables"]["inpainting"] is not None:
        kinds = [config["cases"][c]["corruption"] for c in config["tables"]["inpainting"]["cases"]]
        if set(kinds) != {"given"}:
            needed.append(({"psnr", "ssim"}, "psnr or ssim, which the inpainting table shows"))
        if "given" in kinds:
            needed.append(({"dice", "auroc"}, "dice or auroc, since there is no clean image"))
    if config["tables"]["anomaly-detection"] is not None:
        needed.append(({"dice", "auroc"}, "dice or auroc, which show how much lambda matters"))
    if config["tables"]["simulation"] is not None:
        needed.append(({"rmse"}, "rmse, which the simulation shows"))
    if config["tables"]["solver"] is not None:
        needed.append(({"psnr"}, "psnr, by which the solver table chooses lambda"))
    for metrics, why in needed:
        if not metrics & scored:
            raise _error(source, ("metrics",), config["metrics"], f"a list with {why}")
