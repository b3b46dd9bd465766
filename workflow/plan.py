"""The bill of an experiment before it is paid: jobs, hours of a GPU or core and disk, by rule.

    python workflow/plan.py --configfile experiments/paper.yaml
    python workflow/plan.py --inversion inversion.json --training training.json

Jobs are those that `snakemake -n` would start here. Rates come from files that
benchmarks/inversion.py and benchmarks/training.py wrote on the machine in question (--json), or
from a quick run of both on this one. See docs/planning.md.
"""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
import yaml
from bill import Bill, Job
from config_reading import read_config
from experiment import Experiment

from rgi.command import run
from rgi.errors import InputError
from rgi.files import write_whole
from rgi.models import choose_device
from rgi.planning import Estimate, Rates, read_rates

ROOT = Path(__file__).parent.parent
MEASURED = (16, 32, 64, 128)  # resolutions that both benchmarks know

UNCERTAIN = """\
Hours are those of the networks' layers, at most (L-BFGS may stop early), and of nothing else; the
range is that of the rates measured: another machine, another load or a resolution that was not
measured may lie outside. Disk: downloads, arrays and networks, at most; what is unpacked is
deleted after use."""


def pending(configfiles: Sequence[Path], directory: Path) -> list[Job]:
    """The jobs that `snakemake -n` would start in a directory."""
    from snakemake.api import SnakemakeApi
    from snakemake.logging import logger
    from snakemake.settings.enums import RerunTrigger
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        ResourceSettings,
    )
    from snakemake_interface_logger_plugins.common import LogEvent

    found: list[Job] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "event", None) == LogEvent.JOB_INFO:
                found.append(Job(record.rule_name, dict(record.wildcards)))

    profile = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    triggers = frozenset(RerunTrigger.parse_choice(name) for name in profile["rerun-triggers"])
    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        logger.handlers, logger.propagate = [Collector()], False
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[path.resolve() for path in configfiles]),
            snakefile=ROOT / "Snakefile",
            workdir=directory,
        )
        workflow.dag(DAGSettings(rerun_triggers=triggers)).execute_workflow(executor="dryrun")
    return found


def measure(experiment: Experiment, folder: Path) -> tuple[Path, Path]:
    """Run both benchmarks briefly; their reports."""
    device = experiment.config["device"]
    asked = {experiment.config["datasets"][name]["resolution"] for name in experiment.datasets()}
    pixels = {min(MEASURED, key=lambda side: (abs(side - one), -side)) for one in asked}
    reports = folder / "inversion.json", folder / "training.json"
    few = ["--steps", "2", "--repeats", "2", "--device", device]
    # As many images as fill a batch in every process.
    batch = 16 if max(pixels) <= 32 or choose_device(device).type == "cuda" else 2
    rows = ["--batch", str(batch), "--images", str(batch * (os.cpu_count() or 1))]
    methods = ["--method", "rgi", "--method", "r-rgi-fine-tuning", *rows, "--loop-threads", "1"]
    for name, report, options in zip(
        ("inversion", "training"), reports, ([*methods], ["--batch", "4"]), strict=True
    ):
        sides = [word for side in sorted(pixels) for word in ("--resolution", str(side))]
        command = [sys.executable, ROOT / f"benchmarks/{name}.py", *sides, *few, *options]
        print(
            f"measuring this machine: benchmarks/{name}.py {' '.join([*sides, *few])}", flush=True
        )
        subprocess.run([*command, "--json", report], check=True, stdout=subprocess.DEVNULL)
    return reports


def as_table(bill: Bill) -> pd.DataFrame:
    """A line for each rule and one for all: unicode and numbers; hours are of a GPU or a core."""
    lines = []
    for rule, item in bill.items.items():
        notes = sorted(item.unknown)
        if not item.timed and not item.unknown:
            notes.append("time not estimated")
        estimate = item.estimate if item.timed else Estimate(*3 * [float("nan")])
        lines.append(
            (
                rule,
                item.jobs,
                estimate.hours,
                estimate.least,
                estimate.most,
                item.size,
                "; ".join(notes),
            )
        )
    unit = f"{bill.rates.unit}_hours"
    columns = ["rule", "jobs", unit, f"{unit}_least", f"{unit}_most", "bytes", "note"]
    table = pd.DataFrame(lines, columns=columns).sort_values(unit, ascending=False, kind="stable")
    total = table[columns[1:6]].sum()
    return pd.concat([table, pd.DataFrame([{"rule": "total", **total, "note": ""}])])


def show(table: pd.DataFrame, rates: Rates, source: str) -> None:
    """Print the bill for a person."""
    unit = f"{rates.unit}_hours"
    shown = pd.DataFrame(
        {
            "rule": table["rule"],
            "jobs": table["jobs"].astype(int),
            f"{rates.unit}-hours": table[unit]
            .map(lambda hours: f"{hours:.3g}")
            .replace("nan", "-"),
            "range": [
                "-" if low != low else f"{low:.3g} to {high:.3g}"
                for low, high in zip(table[f"{unit}_least"], table[f"{unit}_most"], strict=True)
            ],
            "GB": (table["bytes"] / 1e9).map(lambda size: f"{size:.3g}" if size else "-"),
            "note": table["note"],
        }
    )
    print(shown.to_string(index=False, justify="left"))
    print(f"\nRates: {source}, on {rates.device}; hours are of one {rates.unit}.")
    for rate in rates.rates:
        print(
            f"  {rate.kind}, {rate.resolution} pixels: {rate.middle:.0f} GFLOP/s "
            f"({rate.low:.0f} to {rate.high:.0f})"
        )
    print(UNCERTAIN)


def main(
    *,
    configfile: Annotated[
        list[Path] | None, typer.Option(help="overlays of config.yaml; may be repeated")
    ] = None,
    inversion: Annotated[
        Path | None, typer.Option(help="what benchmarks/inversion.py wrote with --json")
    ] = None,
    training: Annotated[
        Path | None, typer.Option(help="what benchmarks/training.py wrote with --json")
    ] = None,
    output: Annotated[Path, typer.Option(help="the bill as CSV")] = Path("reports/plan.csv"),
    directory: Annotated[Path, typer.Option(help="where the experiment runs")] = Path(),
) -> None:
    """Print what an experiment's jobs cost, and write OUTPUT."""
    overlays = configfile or []
    for path in overlays:
        if not path.is_file():
            raise InputError(f"--configfile {path}: no such file")
    if (inversion is None) != (training is None):
        raise InputError("--inversion and --training: both or none, measured on one machine")
    experiment = read_config(overlays)
    jobs = pending(overlays, directory)
    with tempfile.TemporaryDirectory() as folder:
        source = "this machine, measured just now and briefly"
        if inversion is None:
            inversion, training = measure(experiment, Path(folder))
        else:
            source = f"{inversion} and {training}"
        rates = read_rates(inversion, training)
    bill = Bill(experiment, rates)
    for job in jobs:
        bill.add(job)
    table = as_table(bill)
    with write_whole(output) as temporary:
        table.to_csv(temporary, index=False)
    show(table, rates, source)


if __name__ == "__main__":
    run(main)
