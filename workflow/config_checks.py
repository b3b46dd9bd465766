"""What no schema says of a config: its parts fit each other and the files they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config_schema import not_allowed, read_schema, validate
from experiment import Experiment, Method, listed

from rgi.corruption import DEGRADATIONS
from rgi.corruption.degradations import CompressedSensing
from rgi.data import companions
from rgi.data.counts import INSPECTED
from rgi.data.lsun import PARTS as BEDROOMS
from rgi.errors import InputError
from rgi.inversion.methods import configured

NAMED = ("datasets", "cases", "methods")  # parts of a config of which a table names some
GROUP = 4  # rgi.models.progressive.GROUP, without waiting for torch
SMALLEST = 4  # rgi.models.autoencoder.SMALLEST, likewise


def check(experiment: Experiment, source: str) -> None:
    """Check what a config's parts say of each other; `source` is named in the messages.

    Raises:
        InputError: one line: source, key, value, what is allowed.
    """
    config = experiment.config
    _check_generators(config, source)
    _check_encoders(config, source)
    _check_autoencoders(config, source)
    for name in config["datasets"]:
        _check_dataset(config, name, source)
        _check_unpacked(experiment, name, source)
    for name in config["cases"]:
        _check_case(experiment, name, source)
    for method in experiment.methods.values():
        _check_backbone(method, source)
    _check_mirror(config["mirror"], source)
    _check_tables(experiment, source)
    _check_judged(experiment, source)
    _check_encoded(experiment, source)
    _check_metrics(experiment, source)


def _check_generators(config: Mapping[str, Any], source: str) -> None:
    if config["gpus"] > 1 and config["device"] == "cpu":
        raise not_allowed(source, ("gpus",), config["gpus"], "1 with device cpu")
    for name, generator in config["generators"].items():
        if name not in config["datasets"]:
            raise not_allowed(source, ("generators", name), name, ", ".join(config["datasets"]))
        if "import" in generator:
            _check_import(generator["import"], name, source)
            continue
        levels = config["datasets"][name]["resolution"].bit_length() - 2
        if len(generator["widths"]) != levels:
            raise not_allowed(
                source,
                ("generators", name, "widths"),
                generator["widths"],
                f"{levels} numbers, one per level from 4 x 4 to the data set's resolution",
            )
        _check_batch(config, name, source)


def _check_encoders(config: Mapping[str, Any], source: str) -> None:
    for dataset in config["encoders"]:
        if dataset not in config["generators"]:
            names = ", ".join(config["generators"])
            raise not_allowed(source, ("encoders", dataset), dataset, names)


def _check_encoded(experiment: Experiment, source: str) -> None:
    """A method that starts with an encoder has one."""
    for table in experiment.tables():
        for dataset, case, name in experiment.rows(table):
            inverts = experiment.methods[name].family == "inversion"
            if not inverts or dataset in experiment.config["encoders"]:
                continue
            if experiment.encoder(dataset, case, name):
                raise InputError(
                    f"{source}: encoders: no entry for data set {dataset!r}, which method "
                    f"{name!r} needs; or set its encoded_start to false"
                )


def _check_autoencoders(config: Mapping[str, Any], source: str) -> None:
    for dataset, kinds in config["autoencoders"].items():
        if dataset not in config["datasets"]:
            names = ", ".join(config["datasets"])
            raise not_allowed(source, ("autoencoders", dataset), dataset, names)
        resolution = config["datasets"][dataset]["resolution"]
        for kind, entry in kinds.items():
            path = ("autoencoders", dataset, kind)
            if kind != "vae" and entry["deviation"] != 1:
                raise not_allowed(
                    source, (*path, "deviation"), entry["deviation"], "1; vae alone has it"
                )
            _check_autoencoder(entry, resolution, path, source)


def _check_autoencoder(
    entry: Mapping[str, Any], resolution: int, path: tuple[str, ...], source: str
) -> None:
    """What an autoencoder sees of an image can be halved and holds DSSIM's window."""
    side = entry["crop"] or resolution
    if side > resolution:
        allowed = f"at most {resolution}, the data set's resolution"
        raise not_allowed(source, (*path, "crop"), side, allowed)
    most = (side // SMALLEST).bit_length() - 1
    if len(entry["widths"]) > most:
        allowed = f"at most {most} numbers for {side} pixels, so that {SMALLEST} are left"
        raise not_allowed(source, (*path, "widths"), entry["widths"], allowed)
    if entry["window"] > side:
        raise not_allowed(source, (*path, "window"), entry["window"], f"at most {side}")


def _check_import(entry: Mapping[str, Any], name: str, source: str) -> None:
    for path, part in ((), entry), (("discriminator",), entry.get("discriminator", {})):
        file = part.get("file")
        if file is not None and not Path(file).is_file():
            key = ("generators", name, "import", *path, "file")
            raise not_allowed(source, key, file, "an existing file")


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
        raise not_allowed(source, ("generators", name, "batch"), batch, allowed)


def _check_backbone(method: Method, source: str) -> None:
    file = method.settings.get("backbone_weights")
    if file is not None and not Path(file).is_file():
        path = ("methods", method.name, "settings", "backbone_weights")
        raise not_allowed(source, path, file, "an existing file")


def _check_mirror(mirror: str | None, source: str) -> None:
    if mirror is None or mirror.startswith(("http://", "https://")):
        return
    if "://" in mirror or not Path(mirror).is_dir():
        allowed = "an existing folder or a base URL, http or https"
        raise not_allowed(source, ("mirror",), mirror, allowed)


def _check_dataset(config: Mapping[str, Any], name: str, source: str) -> None:
    dataset, path = config["datasets"][name], ("datasets", name)
    if dataset["test"] < config["folds"]:
        allowed = f"at least as many images as folds ({config['folds']})"
        raise not_allowed(source, (*path, "test"), dataset["test"], allowed)
    for key in ("path", "masks"):
        folder = dataset.get(key)
        if folder is not None and not Path(folder).is_dir():
            raise not_allowed(source, (*path, key), folder, "an existing folder")
    _check_archive(dataset, source, path)
    if dataset.get("part") == "clean" and dataset["normal"]:
        raise not_allowed(source, (*path, "normal"), dataset["normal"], "0 with part clean")
    _check_held_out(dataset, source, path)
    _check_published(dataset, source, path)
    for key in ("normal", "kinds"):
        if dataset["source"] == "folder" and dataset[key] and dataset["masks"] is None:
            raise not_allowed(source, (*path, key), dataset[key], "with the key masks only")


def _check_archive(dataset: Mapping[str, Any], source: str, path: tuple[str, ...]) -> None:
    archives = listed(dataset.get("archive"))
    for archive in archives:
        if not Path(archive).exists():
            raise not_allowed(source, (*path, "archive"), archive, "an existing file or folder")
    stems = [Path(archive).stem for archive in archives]
    if dataset["source"] == "lsun-bedroom" and stems and sorted(stems) != sorted(BEDROOMS):
        allowed = f"two zip files or folders, {' and '.join(BEDROOMS)}"
        raise not_allowed(source, (*path, "archive"), ", ".join(archives), allowed)


def _check_held_out(dataset: Mapping[str, Any], source: str, path: tuple[str, ...]) -> None:
    held_out, images = dataset.get("held_out"), dataset.get("images")
    if held_out is None:
        return
    if dataset["test"] > held_out:
        allowed = f"at most {held_out}, the key held_out"
        raise not_allowed(source, (*path, "test"), dataset["test"], allowed)
    if images is not None and held_out >= images:
        allowed = f"less than {images}, the key images"
        raise not_allowed(source, (*path, "held_out"), held_out, allowed)
    if dataset["source"] == "cars" and dataset["archive"] is None:
        allowed = "null without the key archive: what is downloaded has a test part"
        raise not_allowed(source, (*path, "held_out"), held_out, allowed)


def _check_published(dataset: Mapping[str, Any], source: str, path: tuple[str, ...]) -> None:
    """How many images there are, of a product whose archive is the publisher's."""
    name = dataset.get("product", dataset.get("category"))
    if name not in INSPECTED or dataset["archive"] is not None:
        return
    count, defects = INSPECTED[name], dataset["part"] == "defects"
    most = {"test": count.defects if defects else count.train - 1, "normal": count.normal}
    for key, number in most.items():
        if dataset[key] > number:
            raise not_allowed(source, (*path, key), dataset[key], f"at most {number} of {name}")


def _check_unpacked(experiment: Experiment, name: str, source: str) -> None:
    """What a data set's own archives unpack to lies in one folder."""
    files = experiment.unpacked(name)
    for file in files:
        if files.count(file) > 1:
            archives = ", ".join(experiment.archives(name))
            allowed = f"files of different names, since two unpack to {Path(file).name}"
            raise not_allowed(source, ("datasets", name, "archive"), archives, allowed)


def _check_case(experiment: Experiment, name: str, source: str) -> None:
    case, path = experiment.config["cases"][name], ("cases", name)
    _check_changed(experiment, name, source)
    for dataset in case.get("per_dataset", ()):
        if dataset not in experiment.config["datasets"]:
            names = ", ".join(experiment.config["datasets"])
            raise not_allowed(source, (*path, "per_dataset"), dataset, names)
    low, high = case.get("area", (0, 1))
    if low > high:
        raise not_allowed(source, (*path, "area"), [low, high], "the least area first")
    if case["corruption"] == "library":
        own = case["path"]
        if (own is None) == (case["source"] is None):
            raise not_allowed(source, (*path, "path"), own, "either a path or a source")
        if own is not None and not Path(own).exists():
            raise not_allowed(source, (*path, "path"), own, "an existing folder or archive")
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
            _check_trained(experiment, name, dataset, source)
            for case in table.get("cases") or [table["case"]]:
                _check_block(experiment, dataset, case, source)
                _check_operator(experiment, dataset, case, source)
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
    for name in experiment.tables():
        _check_methods(experiment, name, source)


def _check_trained(experiment: Experiment, table: str, dataset: str, source: str) -> None:
    """The networks that a table's methods need have an entry."""
    config = experiment.config
    # A solver table has lines, whose methods all invert; whether they exist is checked with them.
    methods = config["tables"][table].get("methods", ())
    generated = table == "solver" or any(experiment.needs_generator(table, m) for m in methods)
    if generated and dataset not in config["generators"]:
        raise InputError(f"{source}: generators: no entry for data set {dataset!r}")
    for method in methods:
        kind = experiment.autoencoder_kind(method)
        if kind is not None and kind not in config["autoencoders"].get(dataset, {}):
            raise InputError(
                f"{source}: autoencoders.{dataset}: no entry {kind!r}, which method {method!r} "
                "needs"
            )


def _check_names(config: Mapping[str, Any], table: str, source: str) -> None:
    """Whether what a table names exists, be it one or a list."""
    for key, named in config["tables"][table].items():
        kind = key if key in NAMED else f"{key}s"
        if kind not in NAMED:
            continue
        for name in [named] if isinstance(named, str) else named:
            if name not in config[kind]:
                raise not_allowed(source, ("tables", table, key), name, ", ".join(config[kind]))


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
            raise not_allowed(source, ("datasets", dataset, key), entry[key], allowed)
        allowed = f"a folder of masks, which case {case!r} needs"
        raise not_allowed(source, ("datasets", dataset, "masks"), None, allowed)
    if has_masks and not given:
        allowed = f"cases of corruption given, since data set {dataset!r} has masks"
        raise not_allowed(source, ("tables", table, "cases"), case, allowed)


def _check_block(experiment: Experiment, dataset: str, case: str, source: str) -> None:
    size = experiment.case(dataset, case).get("size", 0)
    resolution = experiment.config["datasets"][dataset]["resolution"]
    if size > resolution:
        own = "size" in experiment.config["cases"][case].get("per_dataset", {}).get(dataset, {})
        path = ("cases", case, *(("per_dataset", dataset) if own else ()), "size")
        allowed = f"at most {resolution}, the resolution of data set {dataset}"
        raise not_allowed(source, path, size, allowed)


def _check_operator(experiment: Experiment, dataset: str, case: str, source: str) -> None:
    """A known operator fits the images."""
    entry, path = experiment.config["cases"][case], ("cases", case)
    resolution = experiment.config["datasets"][dataset]["resolution"]
    if entry.get("factor", 1) > resolution:
        allowed = f"at most {resolution}, the resolution of data set {dataset}"
        raise not_allowed(source, (*path, "factor"), entry["factor"], allowed)
    if entry["corruption"] == CompressedSensing.name:
        try:
            CompressedSensing(fraction=entry["fraction"]).measurements(experiment.numbers(dataset))
        except InputError as error:
            raise InputError(f"{source}: {'.'.join(path)}: {error}") from None


def _check_methods(experiment: Experiment, table: str, source: str) -> None:
    """Where a known operator degrades whole images there is no mask to be told or found."""
    for dataset, case, name in experiment.rows(table):
        method, plain = experiment.methods[name], case.partition("_")[0]
        whole = experiment.config["cases"][plain]["corruption"] in DEGRADATIONS
        if whole and (method.needs_mask or method.finds_mask):
            allowed = f"methods without a mask, since case {case!r} degrades every pixel"
            raise not_allowed(source, ("tables", table, "methods"), name, allowed)
        if method.family == "inversion":
            _check_rounds(experiment, dataset, plain, method, source)


def _check_rounds(
    experiment: Experiment, dataset: str, case: str, method: Method, source: str
) -> None:
    rounds = configured(method.preset, experiment.settings(case, method.name)).rounds
    levels = experiment.config["datasets"][dataset]["resolution"].bit_length() - 2
    if rounds and rounds[-1][0] > levels:
        allowed = f"layers 1 to {levels}, those of data set {dataset}'s generator"
        path = ("methods", method.name, "settings", "rounds")
        raise not_allowed(source, path, [list(pair) for pair in rounds], allowed)


def _check_inpainting(experiment: Experiment, table: Mapping[str, Any], source: str) -> None:
    for name in table["methods"]:
        if not experiment.methods[name].restores:
            path = ("tables", "inpainting", "methods")
            raise not_allowed(source, path, name, "methods that restore images")


def _check_detection(experiment: Experiment, table: Mapping[str, Any], source: str) -> None:
    for name in table["methods"]:
        if experiment.methods[name].mask == "given":
            path = ("tables", "anomaly-detection", "methods")
            raise not_allowed(source, path, name, "methods that are not given the mask")
    for case in table["cases"]:
        corruption = experiment.config["cases"][case]["corruption"]
        if corruption in DEGRADATIONS:
            path = ("tables", "anomaly-detection", "cases")
            raise not_allowed(source, path, case, "cases of which some pixels are not corrupted")


def _check_changed(experiment: Experiment, case: str, source: str) -> None:
    """The settings that methods have on a case in place of their own."""
    path = ("cases", case, "settings")
    for name, settings in experiment.config["cases"][case]["settings"].items():
        _check_inverts(experiment, name, source, path)
        method = experiment.methods[name]
        if settings is not None:
            schema = read_schema("methods/inversion")["properties"]["settings"]
            validate(settings, schema, source, (*path, name))
        try:
            configured(method.preset, experiment.settings(case, name))
        except InputError as error:
            raise InputError(f"{source}: {'.'.join((*path, name))}: {error}") from None


def _check_simulation(experiment: Experiment, table: Mapping[str, Any], source: str) -> None:
    config = experiment.config
    case = config["cases"][table["case"]]
    kind = case["fill"]["kind"] if "fill" in case else case["corruption"]
    if kind != "noise":
        raise not_allowed(source, ("cases", table["case"], "fill.kind"), kind, "noise")
    if table["images"] < config["folds"]:
        allowed = f"at least as many images as folds ({config['folds']})"
        raise not_allowed(source, ("tables.simulation.images",), table["images"], allowed)


def _check_inverts(experiment: Experiment, name: str, source: str, path: tuple[str, ...]) -> None:
    inverting = [m.name for m in experiment.methods.values() if m.family == "inversion"]
    if name not in inverting:
        raise not_allowed(source, path, name, f"methods that invert: {', '.join(inverting)}")


def _check_solver(experiment: Experiment, table: Mapping[str, Any], source: str) -> None:
    config, path = experiment.config, ("tables", "solver")
    for case in table["cases"]:
        if config["cases"][case]["corruption"] == "given":
            raise not_allowed(source, (*path, "cases"), case, "cases whose clean images are known")
    for dataset in table["datasets"]:
        if _has_masks(config, dataset):
            allowed = "data sets without masks, whose images are clean"
            raise not_allowed(source, (*path, "datasets"), dataset, allowed)
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
        raise not_allowed(source, ("tables", "solver", "levels"), levels, allowed)
    _check_block(experiment, dataset, simulation["case"], source)


def _check_on_grid(method: Method, lam: float, source: str) -> None:
    if method.lams != ("none",) and str(lam) not in method.lams:
        allowed = f"one of {', '.join(method.lams)}, the grid of {method.name}"
        raise not_allowed(source, ("tables", "solver", "lam"), lam, allowed)


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
            raise not_allowed(source, ("metrics",), config["metrics"], f"a list with {why}")
