"""Training a model of anomalib on one data set's training images, by Lightning's own loop."""

import ctypes
import json
import logging
import math
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2.functional import resize

from rgi.baselines.detectors.model import (
    AnomalibModule,
    Detector,
    build_detector,
    save_detector,
    to_input,
)
from rgi.baselines.detectors.settings import DetectorSettings
from rgi.data.arrays import to_tensor
from rgi.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    from anomalib.data import ImageBatch
    from anomalib.models.components import MemoryBankMixin

logger = logging.getLogger(__name__)

MODEL = "detector.pt"
LOG = "training.jsonl"
BANK_IMAGES = 256  # a memory bank first holds every patch: 6 MB an image for PatchCore at 256 x 256
STEPS = 2000
LINES = 200  # of the log
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


class TrainingImages(Dataset):
    """Rows of an array (uint8 N x H x W x C), resized here, since some models skip the trainer."""

    def __init__(self, images: np.ndarray, rows: np.ndarray, size: int) -> None:
        self.images, self.rows, self.size = images, rows, size

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Tensor:
        image = to_input(to_tensor(self.images[self.rows[place]][None]))[0]
        return resize(image, [self.size, self.size], antialias=True)


class Images(pl.LightningDataModule):
    """Batches, and what some models ask of the trainer besides."""

    def __init__(self, train: Dataset, held_out: Dataset, batch: int, seed: int) -> None:
        super().__init__()
        self.train, self.held_out, self.seed = train, held_out, seed
        self.train_batch_size = batch

    def train_dataloader(self) -> DataLoader:
        """Batches in an order that depends on the seed alone."""
        order = torch.Generator().manual_seed(self.seed)
        return DataLoader(
            self.train, self.train_batch_size, shuffle=True, collate_fn=_collate, generator=order
        )

    def val_dataloader(self) -> DataLoader:
        """Images that are not trained on."""
        return DataLoader(self.held_out, self.train_batch_size, collate_fn=_collate)


class Record(pl.Callback):
    """Writes a line of JSON now and then: step, epoch, loss, seconds since the start."""

    def __init__(self, path: Path, first: dict[str, Any], steps: int) -> None:
        self.path, self.steps = path, steps
        self.every = max(1, steps // LINES)
        self.started = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(first) + "\n")

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line, or stop a training that diverged."""
        step = trainer.fit_loop.total_batch_idx + 1
        if step % self.every and step != self.steps:
            return
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        value = None if loss is None else float(loss)
        if value is not None and not math.isfinite(value):
            raise InputError(f"methods: {module.name}: loss {value} at step {step}; it diverged")
        self.write(step=step, epoch=trainer.current_epoch, loss=value)

    def write(self, **values: Any) -> None:
        """Append one line."""
        seconds = round(time.monotonic() - self.started, 3)
        with self.path.open("a") as stream:
            stream.write(json.dumps({**values, "seconds": seconds}) + "\n")


def train_detector(
    images: np.ndarray,
    name: str,
    settings: DetectorSettings,
    directory: Path,
    *,
    seed: int,
    device: torch.device,
) -> Detector:
    """Train a model and write detector.pt and training.jsonl into `directory`.

    A model that calibrates itself on images which it has not trained on (EfficientAd) gets a tenth
    of the images for that.

    Args:
        images: uint8 N x H x W x C, without defects.
        name: see `check_model`.
        settings: see `DetectorSettings`.
        directory: made if it is missing.
        seed: of weights, order, synthetic defects, and of which images are drawn.
        device: where to compute.

    Raises:
        InputError: see `build_detector`; or there are too few images, the loss is no longer finite,
            or a download failed.
    """
    _fix_mmap_threshold()
    pl.seed_everything(seed, verbose=False)
    detector = build_detector(name, settings)
    module = detector.module
    rows = _draw(len(images), settings.images, isinstance(module, MemoryBankMixin), seed)
    calibrates = _calibrates(module)
    if calibrates and len(rows) < 2:
        raise InputError(
            f"methods: {name}: {len(rows)} training image; this model calibrates itself on images "
            "that it is not trained on, so it needs at least 2"
        )
    held_out, rows = np.split(rows, [math.ceil(len(rows) / 10) if calibrates else 0])
    data = Images(
        *(TrainingImages(images, part, detector.size) for part in (rows, held_out)),
        settings.batch,
        seed,
    )
    batches = math.ceil(len(rows) / settings.batch)
    epochs, steps = _duration(settings, module.trainer_arguments, batches)
    about = {"model": detector.name, **asdict(settings), "image_size": detector.size}
    record = Record(directory / LOG, {**about, "images": len(rows), "steps": steps}, steps)
    own = {**module.trainer_arguments, "max_epochs": epochs, "max_steps": steps, "devices": 1}
    trainer = pl.Trainer(
        **own,
        accelerator="gpu" if device.type == "cuda" else "cpu",
        callbacks=[record],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        limit_val_batches=1.0 if calibrates else 0,
        default_root_dir=directory,
    )
    try:
        trainer.fit(module, datamodule=data)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a download that failed, a setting that does not fit
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"methods: {name}: cannot be trained like this ({reason})") from error
    record.write(step=steps, done=True)
    save_detector(directory / MODEL, detector)
    return detector


def _fix_mmap_threshold() -> None:
    """Make glibc return every large block, as soon as it is freed, for the rest of the process.

    Its own threshold rises to 32 MB; below, small tensors come to lie in the gap that a temporary
    one left, and PatchCore's coreset takes a new block at each step: 20 GB where 2 are enough.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**20)


def _collate(images: list[Tensor]) -> ImageBatch:
    """Make a batch of defect-free images, with the masks that some models want to see."""
    batch = torch.stack(images)
    mask = torch.zeros(len(batch), *batch.shape[2:], dtype=torch.bool)
    return ImageBatch(image=batch, gt_mask=mask, gt_label=torch.zeros(len(batch), dtype=torch.bool))


def _draw(count: int, wanted: int | None, keeps_patches: bool, seed: int) -> np.ndarray:
    """Rows to learn from, in a random order."""
    if wanted is None:
        wanted = BANK_IMAGES if keeps_patches else count
    if wanted < count:
        logger.info("%d of %d training images are used", wanted, count)
    return np.random.default_rng(seed).permutation(count)[:wanted]


def _calibrates(module: AnomalibModule) -> bool:
    """Whether a model takes something from validation that a bank does not take from training."""
    ordinary = (pl.LightningModule.on_validation_start, MemoryBankMixin.on_validation_start)
    return type(module).on_validation_start not in ordinary


def _duration(settings: DetectorSettings, own: dict[str, Any], batches: int) -> tuple[int, int]:
    """Return epochs and steps; some models plan their step size by either."""
    epochs = settings.epochs or (None if settings.steps else own.get("max_epochs"))
    if epochs is not None:
        return epochs, epochs * batches
    steps = settings.steps or STEPS
    return math.ceil(steps / batches), steps
