# Robust principal component analysis beside clean training images, with and without alignment.
rule restore_low_rank:
    input:
        case="results/cases/{dataset}/{case}.npz",
        train="results/datasets/{dataset}/train.npy",
    output:
        "results/restorations/{dataset}/{case}/{method}/{lam}/{shard}.npz",
    log:
        "results/logs/restore/{dataset}/{case}/{method}/{lam}/{shard}.log",
    benchmark:
        "results/benchmarks/restore/{dataset}/{case}/{method}/{lam}/{shard}.tsv"
    wildcard_constraints:
        method=experiment.family("low-rank"),
    conda:
        "../../../envs/rgi.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: (
            attempt * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        runtime=240,
    params:
        preset=lambda wildcards: experiment.methods[wildcards.method].preset,
        settings=lambda wildcards: as_json(experiment.methods[wildcards.method].settings),
        rows=lambda wildcards: experiment.shard_rows(
            wildcards.dataset, wildcards.case, wildcards.method, int(wildcards.shard)
        ),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/restore_low_rank.py --case {input.case:q} --train {input.train:q}"
        " --method {params.preset} --lam {wildcards.lam} --settings {params.settings:q}"
        " --first {params.rows[0]} --last {params.rows[1]} --seed {params.seed}"
        " --output {output:q} > {log:q} 2>&1"
