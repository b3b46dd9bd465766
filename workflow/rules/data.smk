# Images of a source, decoded, cut, resized and split: results/datasets/{dataset}/
CUDA_MEGABYTES = 1000  # of each process that uses a GPU, beside what it computes with
MEGABYTES = {8: 2000, 16: 2000, 32: 2000, 64: 8000, 128: 8000, 256: 16000}  # by resolution
MIRROR = join(["--mirror", config["mirror"]]) if config["mirror"] is not None else ""

for name in experiment.of_other_bytes():
    print(
        f"warning: results/datasets/{name}: made of other files than the publisher's, from a mirror"
        " that is not set; set `mirror:`, or delete this folder and its archives in results/downloads",
        file=sys.stderr,
    )


localrules:
    archive,


# A publisher's file; its progress is shown. Cluster nodes often have no network, hence a local rule;
# the mirror is a resource and no parameter: another one holds the same files.
rule archive:
    output:
        "results/downloads/{source}/{file}",
    log:
        "results/logs/archive/{source}/{file}.log",
    wildcard_constraints:
        source="|".join(PUBLICATIONS),
        file="[^/]+",
    conda:
        "../../envs/rgi.yaml"
    resources:
        mirror=MIRROR,
    shell:
        "python $SCRIPTS/download_archive.py --source {wildcards.source} {resources.mirror}"
        " --output {output:q} 2>&1 | tee {log:q} >&2"


# What cannot be read in place; taken away once all data sets of it are prepared.
rule unpack:
    input:
        lambda wildcards: experiment.packed(f"{wildcards.owner}/{wildcards.file}"),
    output:
        temp("results/unpacked/{owner}/{file}"),
    log:
        "results/logs/unpack/{owner}/{file}.log",
    wildcard_constraints:
        owner="[^/]+",
        file="[^/]+",
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=240,
        # No parameter: the same bytes from elsewhere unpack to the same.
        registered=lambda wildcards: experiment.registered_source(wildcards.owner),
    shell:
        "python $SCRIPTS/unpack_archive.py --archive {input:q} {resources.registered}"
        " --output {output:q} > {log:q} 2>&1"


# Nothing else of a data set can run meanwhile, hence first, and where there are files to read on all
# cores of this machine; on a cluster it is a heavy job like others. What a killed job has read lies
# beside the outputs under another name, which Snakemake leaves alone.
rule dataset:
    input:
        archives=lambda wildcards: experiment.archives(wildcards.dataset),
        unpacked=lambda wildcards: experiment.unpacked(wildcards.dataset),
    output:
        train="results/datasets/{dataset}/train.npy",
        test="results/datasets/{dataset}/test.npy",
        info="results/datasets/{dataset}/info.yaml",
        preview="results/datasets/{dataset}/preview.png",
    log:
        "results/logs/dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/dataset/{dataset}.tsv"
    priority: 2
    conda:
        "../../envs/rgi.yaml"
    threads:
        lambda wildcards: (
            workflow.cores
            if workflow.local_exec and experiment.reads_pictures(wildcards.dataset)
            else config["threads"]
        )
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=lambda wildcards, input, attempt: attempt * (60 + int(input.size_mb) // 100),
        registered=lambda wildcards: experiment.registered_option(wildcards.dataset),
    params:
        directory=lambda wildcards, output: Path(output.train).parent,
        archives=lambda wildcards, input: [
            word for file in input.archives for word in ("--archive", file)
        ],
        unpacked=lambda wildcards, input: (
            ["--unpacked", Path(input.unpacked[0]).parent] if input.unpacked else []
        ),
        settings=lambda wildcards: as_json(
            {k: v for k, v in config["datasets"][wildcards.dataset].items() if k != "archive"}
        ),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/prepare_dataset.py --settings {params.settings:q} {params.archives:q}"
        " {resources.registered} {params.unpacked:q} --seed {params.seed} --processes {threads}"
        " --directory {params.directory:q} > {log:q} 2>&1"


# Some sources know the masks of their test images, too.
use rule dataset as masked_dataset with:
    output:
        train="results/datasets/{dataset}/train.npy",
        test="results/datasets/{dataset}/test.npy",
        masks="results/datasets/{dataset}/test_masks.npy",
        info="results/datasets/{dataset}/info.yaml",
        preview="results/datasets/{dataset}/preview.png",
    wildcard_constraints:
        dataset=experiment.datasets_with("test_masks.npy"),


# And some the kinds of their defects.
use rule dataset as sorted_dataset with:
    output:
        train="results/datasets/{dataset}/train.npy",
        test="results/datasets/{dataset}/test.npy",
        masks="results/datasets/{dataset}/test_masks.npy",
        kinds="results/datasets/{dataset}/test_kinds.txt",
        info="results/datasets/{dataset}/info.yaml",
        preview="results/datasets/{dataset}/preview.png",
    wildcard_constraints:
        dataset=experiment.datasets_with("test_masks.npy", "test_kinds.txt"),


# And some which of their images show the same thing.
use rule dataset as grouped_dataset with:
    output:
        train="results/datasets/{dataset}/train.npy",
        test="results/datasets/{dataset}/test.npy",
        masks="results/datasets/{dataset}/test_masks.npy",
        kinds="results/datasets/{dataset}/test_kinds.txt",
        groups="results/datasets/{dataset}/test_groups.txt",
        info="results/datasets/{dataset}/info.yaml",
        preview="results/datasets/{dataset}/preview.png",
    wildcard_constraints:
        dataset=experiment.datasets_with("test_masks.npy", "test_kinds.txt", "test_groups.txt"),


ruleorder: grouped_dataset > sorted_dataset > masked_dataset > dataset


for variant in ("masked_dataset", "sorted_dataset", "grouped_dataset"):
    share_settings(workflow, "dataset", variant)
