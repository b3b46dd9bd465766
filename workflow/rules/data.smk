# Images of a source, decoded, cut, resized and split: results/datasets/{dataset}/
MEGABYTES = {8: 2000, 16: 2000, 32: 2000, 64: 8000, 128: 8000, 256: 16000}  # by resolution
MASKED = [name for name, entry in config["datasets"].items() if entry.get("masks") is not None]


rule dataset:
    output:
        train="results/datasets/{dataset}/train.npy",
        test="results/datasets/{dataset}/test.npy",
        info="results/datasets/{dataset}/info.yaml",
        preview="results/datasets/{dataset}/preview.png",
    log:
        "results/logs/dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/dataset/{dataset}.tsv"
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=60,
    params:
        directory=lambda wildcards, output: Path(output.train).parent,
        settings=lambda wildcards: as_json(config["datasets"][wildcards.dataset]),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/prepare_dataset.py --settings {params.settings:q} --seed {params.seed}"
        " --directory {params.directory:q} > {log:q} 2>&1"


# A data set whose folder has masks gives those of its test images, too.
use rule dataset as masked_dataset with:
    output:
        train="results/datasets/{dataset}/train.npy",
        test="results/datasets/{dataset}/test.npy",
        masks="results/datasets/{dataset}/test_masks.npy",
        info="results/datasets/{dataset}/info.yaml",
        preview="results/datasets/{dataset}/preview.png",
    wildcard_constraints:
        dataset="|".join(name.replace(".", r"\.") for name in MASKED) or "$.",


ruleorder: masked_dataset > dataset
