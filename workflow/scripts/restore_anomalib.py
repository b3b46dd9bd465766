"""Score the pixels of one shard with a trained model of anomalib; nothing is restored."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from rgi.command import pin_threads, run, shard
from rgi.files import load_arrays, save_arrays


def main(
    *,
    case: Annotated[Path, typer.Option(help="cases/{dataset}/{case}.npz")],
    detector: Annotated[Path, typer.Option(help="detector.pt of a data set and method")],
    first: Annotated[int, typer.Option(help="first row of the shard")],
    last: Annotated[int, typer.Option(help="row after the last one of the shard")],
    output: Annotated[Path, typer.Option(help="the restoration file")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="threads for torch")] = 1,
) -> None:
    """Score rows FIRST to LAST (not included) of CASE; in OUTPUT, restored is NaN throughout."""
    import torch

    from rgi.baselines.detectors.model import detect, load_detector
    from rgi.models import choose_device

    pin_threads(threads)
    arrays = load_arrays(case, "corrupted", "index")
    rows = shard(first, last, len(arrays["index"]), case)
    images = arrays["corrupted"][rows]
    detected = detect(torch.from_numpy(images), load_detector(detector), choose_device(device))
    save_arrays(
        output,
        {
            "restored": np.full_like(images, np.nan),
            "score": detected.score,
            "index": arrays["index"][rows],
            "seconds": detected.seconds,
        },
    )


if __name__ == "__main__":
    run(main)
