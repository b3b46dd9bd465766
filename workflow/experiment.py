"""What a valid config asks for, as the lists that the rules need."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil
from pathlib import Path
from typing import Any

from rgi.corruption import library_hash
from rgi.data import PUBLICATIONS, companions, unpacked_name
from rgi.data.provenance import OTHER_BYTES
from rgi.inversion.methods import configured
from rgi.projection.methods import METHODS as PROJECTIONS
from rgi.reporting.published import is_as_published, is_projected_as_published

# A filter takes hundredths of an inversion's time: in shards of the same size, each job would take
# longer to start than to work.
FILTER_SHARDS = 20


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
    needs_operator: bool = False  # it is told how images are degraded, be it by a mask

    @property
    def mask(self) -> str:
        """What `score > 0.5` is to the method: a mask `given` or `found`, or `none`."""
        if self.needs_mask or self.needs_operator:
            return "given"
        return "found" if self.finds_mask else "none"

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

    def samples(self) -> dict[str, list[str]]:
        """The sample sheets of the networks that the tables' methods need: GANs, autoencoders."""
        rows = [(table, *row) for table in self.tables() for row in self.rows(table)]
        generating = [d for t, d, _, m in rows if self.needs_generator(t, m)]
        projecting = [
            Path(self.autoencoder(d, m)) for _, d, _, m in rows if self.autoencoder_kind(m)
        ]
        return {
            "generators": [
                f"results/generators/{d}/samples.png" for d in dict.fromkeys(generating)
            ],
            "autoencoders": list(
                dict.fromkeys(str(p.with_name("samples.png")) for p in projecting)
            ),
        }

    def needs_generator(self, table: str, method: str) -> bool:
        """Whether a generator is inverted, or makes the images of a simulation."""
        return table == "simulation" or self.methods[method].family == "inversion"

    def training_series(self) -> list[list[str]]:
        """Data sets of the anomaly-detection table that differ in their training images alone."""
        table = self.config["tables"]["anomaly-detection"] or {"datasets": [], "methods": []}
        kinds = sorted(filter(None, map(self.autoencoder_kind, table["methods"])))
        alike: dict[str, list[str]] = {}
        for name in table["datasets"]:
            entry = {k: v for k, v in self.config["datasets"][name].items() if k != "train"}
            autoencoders = self.config["autoencoders"].get(name, {})
            networks = [self.config["generators"].get(name), *map(autoencoders.get, kinds)]
            alike.setdefault(as_json([entry, *networks]), []).append(name)
        return [names for names in alike.values() if len(names) > 1]

    def step_series(self) -> dict[str, dict[str, int]]:
        """Methods of the anomaly-detection table called LINE-N that take N steps, line by line."""
        table = self.config["tables"]["anomaly-detection"]
        found: dict[str, dict[str, int]] = {}
        for name in table["methods"] if table else []:
            line, _, steps = name.rpartition("-")
            if steps == str(self.methods[name].settings.get("steps")):
                found.setdefault(line, {})[name] = int(steps)
        return {line: steps for line, steps in found.items() if len(steps) > 1}

    @cached_property
    def library(self) -> Callable[[str], str | None]:
        """The hash of the user's own library of masks that a case draws from, if it does.

        Read once for all data sets and levels, each of which is a job that asks.
        """
        return cache(self._library_hash)

    def _library_hash(self, case: str) -> str | None:
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

    def as_published(self, table: str) -> list[str]:
        """The `dataset/case` of a table that are set up as in the paper whose numbers it shows."""
        if table not in ("inpainting", "anomaly-detection"):
            return []
        places = dict.fromkeys(row[:2] for row in self.rows(table))
        return [
            f"{dataset}/{case}" for dataset, case in places if self._as_in(table, dataset, case)
        ]

    def _as_in(self, table: str, dataset: str, case: str) -> bool:
        entry, settings = self.config["datasets"][dataset], self.case(dataset, case)
        if table == "inpainting":
            return is_as_published(dataset, entry, case, settings)
        return is_projected_as_published(dataset, entry, settings)

    def images(self, dataset: str, case: str) -> int:
        """How many images a case holds."""
        if "_" in case:  # only a simulation's case has a level in its name
            return self.config["tables"]["simulation"]["images"]
        entry = self.config["datasets"][dataset]
        return entry["test"] + entry.get("normal", 0)

    def operator_megabytes(self, dataset: str, case: str) -> int:
        """Memory for the random projections of a case, if it has any, and a copy of them."""
        entry = self.config["cases"][case.partition("_")[0]]
        if entry["corruption"] != "compressed-sensing":
            return 0
        return ceil(8 * entry["fraction"] * self.numbers(dataset) ** 2 / 10**6)

    def numbers(self, dataset: str) -> int:
        """How many numbers an image is."""
        entry = self.config["datasets"][dataset]
        return entry["channels"] * entry["resolution"] ** 2

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
        source, own = entry["source"], listed(entry.get("archive"))
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

    def encoder(self, dataset: str, case: str, method: str) -> list[str]:
        """The file of the encoder that a method starts with, if it does."""
        starts = configured(self.methods[method].preset, self.settings(case, method)).encoded_start
        return [f"results/encoders/{dataset}/encoder.pt"] if starts else []

    def autoencoder_kind(self, method: str) -> str | None:
        """The kind of autoencoder that a method projects on, if it does."""
        found = self.methods[method]
        return PROJECTIONS[found.preset].autoencoder if found.family == "projection" else None

    def autoencoder(self, dataset: str, method: str) -> str:
        """The file of the autoencoder that a method projects on."""
        return f"results/autoencoders/{dataset}/{self.autoencoder_kind(method)}/autoencoder.pt"

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

    def shard_size(self, method: str) -> int:
        """How many images of a method go into one job."""
        size = self.config["shard_size"]
        return size * FILTER_SHARDS if self.methods[method].family == "filters" else size

    def shards(self, dataset: str, case: str, method: str) -> range:
        """Numbers of a method's shards of a case."""
        return range(-(-self.images(dataset, case) // self.shard_size(method)))

    def restorations(self, dataset: str, case: str, method: str) -> list[str]:
        """Every restoration file of one method on one case."""
        return [
            f"results/restorations/{dataset}/{case}/{method}/{lam}/{shard}.npz"
            for lam in self.methods[method].lams
            for shard in self.shards(dataset, case, method)
        ]

    def shard_rows(self, dataset: str, case: str, method: str, shard: int) -> tuple[int, int]:
        """First row of a method's shard and the row after its last."""
        size = self.shard_size(method)
        return shard * size, min((shard + 1) * size, self.images(dataset, case))

    def family(self, name: str) -> str:
        """A regular expression of a family's methods, but those whose lambdas go together."""
        return _any_of(
            [m.name for m in self.methods.values() if m.family == name and not m.together]
        )

    def method_entries(self) -> dict[str, Mapping[str, Any]]:
        """What each method that some table names is: family, preset and settings."""
        named = {name for table in self.tables() for name in self.table(table)["methods"]}
        return {
            name: {"family": method.family, "preset": method.preset, "settings": method.settings}
            for name, method in self.methods.items()
            if name in named
        }

    def asked(self, family: str) -> list[Method]:
        """A family's methods that some table names."""
        return [
            m
            for m in self.methods.values()
            if m.family == family and m.name in self.method_entries()
        ]

    def together(self, family: str) -> list[Method]:
        """A family's methods of which one job computes all lambdas."""
        return [m for m in self.methods.values() if m.family == family and m.together]


def as_json(value: object) -> str:
    """JSON in one spelling: the order of keys in a config must not rerun a job."""
    return json.dumps(value, sort_keys=True)


def listed(archive: str | list[str] | None) -> list[str]:
    """The key `archive` as a list."""
    return [archive] if isinstance(archive, str) else list(archive or [])


def _any_of(names: Sequence[str]) -> str:
    """A regular expression of some names."""
    return "|".join(map(re.escape, names)) or "$."  # matches nothing


def lam_options(lams: Sequence[str], files: Sequence[str]) -> list[str]:
    """Options of a job that restores for several lambdas: --lam and --output of each."""
    pairs = zip(lams, files, strict=True)
    return [word for lam, file in pairs for word in ("--lam", lam, "--output", str(file))]
