# Front door: reads and checks the config, includes the rules, names the targets.
import re
import signal
import sys
from os.path import relpath
from pathlib import Path
from shlex import join, quote

sys.path[:0] = [workflow.basedir, str(Path(workflow.basedir) / "workflow")]

from config_reading import FAMILIES, read_data, read_experiment
from experiment import as_json, lam_options
from profile_settings import share_settings
from rgi.baselines.detectors import check_model
from rgi.data import PUBLICATIONS
from rgi.errors import InputError
from rgi.inversion.methods import INVERSION_VERSION
from working_directory import check_times, check_writable, take_lock


configfile: Path(workflow.basedir) / "config.yaml"


try:
    # Snakemake has read these already, and run the code in them: `make check` comes before it.
    for file in workflow.configfiles:
        read_data(file)
    experiment = read_experiment(config, " + ".join(relpath(f) for f in workflow.configfiles))
except InputError as error:
    sys.exit(f"error: {error}")

DEFAULT = Path(workflow.basedir, "config.yaml")
OVERLAYS = [relpath(path) for path in workflow.configfiles if not DEFAULT.samefile(path)]
COMMAND = join(["snakemake", *(["--configfile", *OVERLAYS] if OVERLAYS else [])])


# SLURM warns all processes of a job before its time is up (profiles/slurm). A script that heeds that
# writes a checkpoint, and snakemake, which would die of it, has to outlive the script.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)


# Not parameters, lest a moved project reruns everything. PYTHONPATH: scripts find the library also
# in an environment in which it is not installed.
shell.prefix(
    f"set -euo pipefail; export PYTHONPATH={quote(str(workflow.basedir))}"
    f" SCRIPTS={quote(str(Path(workflow.basedir, 'workflow', 'scripts')))}; "
)


wildcard_constraints:
    dataset="|".join(map(re.escape, experiment.config["datasets"])),
    case=r"[A-Za-z0-9._-]+",
    method=r"[A-Za-z0-9.-]+",
    lam=r"[0-9.e+-]+|none",
    level=r"-?[0-9.]+(e[+-]?[0-9]+)?",
    shard=r"\d+",


# How much of a GPU's memory a job takes limits the jobs side by side on one machine
# (profiles/default), and none of a cluster's, each of which has GPUs of its own.
resource_scopes:
    gpu_mb="local",


# Before the first job, not in a dry-run. make holds the lock itself, hence its --nolock.
onstart:
    try:
        check_writable()
        check_times()
        if workflow.execution_settings.lock:
            take_lock()
    except InputError as error:
        sys.exit(f"error: {error}")


localrules:
    all,


rule all:
    default_target: True
    input:
        "reports/report.html",
        experiment.files("results/defects/{dataset}/{case}/{method}.csv", "anomaly-detection"),


include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/importing.smk"
include: "workflow/rules/encoders.smk"
include: "workflow/rules/autoencoders.smk"
include: "workflow/rules/cases.smk"


for family in FAMILIES:

    include: f"workflow/rules/methods/{family}.smk"


include: "workflow/rules/scoring.smk"
include: "workflow/rules/selection.smk"
include: "workflow/rules/detection.smk"
include: "workflow/rules/reporting.smk"
