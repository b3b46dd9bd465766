"""What the jobs of an experiment cost, rule by rule: hours at a measured rate, and bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from experiment import Experiment, Method

from rgi.data import PUBLICATIONS, training_images
from rgi.errors import InputError
from rgi.inversion.methods import configured
from rgi.models import Architecture, load_generator
from rgi.models.gan_zoo import read_gan_zoo
from rgi.planning import (
    Estimate,
    Rates,
    Work,
    case_bytes,
    images_bytes,
    inversion_work,
    restoration_bytes,
    training_bytes,
    training_work,
)
from rgi.training import TrainingSettings, read_training


@dataclass(frozen=True)
class Job:
    """One job that is to be done."""

    rule: str
    wildcards: Mapping[str, str]


@dataclass
class Item:
    """A line of the bill."""

    jobs: int = 0
    estimate: Estimate = field(default_factory=Estimate)
    size: int = 0  # bytes
    timed: bool = False
    unknown: set[str] = field(default_factory=set)  # what is left out, and why


class Bill:
    """What jobs cost, looked up in the experiment that they belong to."""

    def __init__(self, experiment: Experiment, rates: Rates) -> None:
        self.experiment = experiment
        self.rates = rates
        self.items: dict[str, Item] = {}

    def add(self, job: Job) -> None:
        """Put a job on the bill."""
        item = self.items.setdefault(job.rule, Item())
        item.jobs += 1
        try:
            work = list(self._work(job))
            item.size += self._size(job)
        except InputError as error:
            item.unknown.add(str(error))
            return
        item.timed = item.timed or bool(work)
        item.estimate += self.rates.estimate(work)

    def _work(self, job: Job) -> Iterator[Work]:
        if job.rule == "generator":
            yield from training_work(*self._training(job.wildcards["dataset"]))
        elif (restored := self._restored(job)) and restored.family == "inversion":
            dataset, case = job.wildcards["dataset"], job.wildcards["case"]
            method = configured(restored.preset, self.experiment.settings(case, restored.name))
            lambdas = len(restored.lams) if restored.together else 1
            images = self._images(job)
            yield from inversion_work(method, self._architecture(dataset), images, lambdas)

    def _size(self, job: Job) -> int:
        """Bytes of the job's files; 0 for tables, figures and logs."""
        if job.rule == "archive":
            return self._download(job.wildcards["source"], job.wildcards["file"])
        if job.rule == "unpack":
            return self._packed(job)
        if job.rule == "weights":
            raise InputError("size not known beforehand")
        dataset = job.wildcards.get("dataset")
        return 0 if dataset is None else self._made(job, dataset)

    def _made(self, job: Job, dataset: str) -> int:
        """Bytes of what a job makes of a data set."""
        entry = self.experiment.config["datasets"][dataset]
        shape = entry["resolution"], entry["channels"]
        if job.rule.endswith("dataset"):
            test = entry["test"] + entry.get("normal", 0)
            masks = test if "test_masks.npy" in self.experiment.beside_test(dataset) else 0
            images = images_bytes(self._trained(dataset) + test, *shape)
            return images + images_bytes(masks, entry["resolution"], 1)
        if job.rule == "generator":
            return training_bytes(self._architecture(dataset))
        if job.rule in ("case", "simulation"):
            return case_bytes(self.experiment.images(dataset, self._case(job)), *shape)
        if restored := self._restored(job):
            files = len(restored.lams) if restored.together else 1
            return files * restoration_bytes(self._images(job), *shape)
        return 0

    def _download(self, source: str, name: str) -> int:
        return round(PUBLICATIONS[source].file(name).size * 1e6)

    def _packed(self, job: Job) -> int:
        """Of what is unpacked, at least: how far it was packed is not known beforehand."""
        packed = Path(self.experiment.packed("{owner}/{file}".format(**job.wildcards)))
        if job.wildcards["owner"] in PUBLICATIONS:
            return self._download(packed.parent.name, packed.name)
        return packed.stat().st_size

    def _case(self, job: Job) -> str:
        names = [job.wildcards[key] for key in ("case", "level") if key in job.wildcards]
        return "_".join(names)

    def _restored(self, job: Job) -> Method | None:
        """The method of a job that restores."""
        is_one = job.rule.startswith("restore_")
        return self.experiment.methods[job.wildcards["method"]] if is_one else None

    def _images(self, job: Job) -> int:
        first, last = self.experiment.shard_rows(
            *(job.wildcards[key] for key in ("dataset", "case", "method")),
            int(job.wildcards["shard"]),
        )
        return last - first

    def _training(self, dataset: str) -> tuple[Architecture, TrainingSettings]:
        entry, source = (self.experiment.config[k][dataset] for k in ("generators", "datasets"))
        return read_training(entry, resolution=source["resolution"], channels=source["channels"])

    def _architecture(self, dataset: str) -> Architecture:
        entry = self.experiment.imported(dataset)
        if entry is None:
            return self._training(dataset)[0]
        file = Path(self.experiment.weights(dataset)["generator"])
        if not file.exists():
            raise InputError(f"{file} is not here yet: its architecture is unknown")
        if entry["format"] == "rgi":
            return load_generator(file).architecture
        return read_gan_zoo(file)[0].architecture

    def _trained(self, dataset: str) -> int:
        """Training images, at most."""
        known = training_images(self.experiment.config["datasets"][dataset])
        if known is None:
            raise InputError(f"how many images {dataset} has for training is not known beforehand")
        return known
