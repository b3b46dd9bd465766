# Images of a source, decoded, cut, resized and split: results/datasets/{dataset}/
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
        mem_mb=2000,
        runtime=60,
    params:
        directory=lambda wildcards, output: Path(output.train).parent,
        settings=lambda wildcards: as_json(config["datasets"][wildcards.dataset]),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/prepare_dataset.py --settings {params.settings:q} --seed {params.seed}"
        " --directory {params.directory:q} > {log:q} 2>&1"
