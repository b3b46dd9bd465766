# Methods that invert a generator: one job per (data set, case, method, lambda, shard).
rule restore_inversion:
    input:
        case="results/cases/{dataset}/{case}.npz",
        generator="results/generators/{dataset}/generator.pt",
        discriminator="results/generators/{dataset}/discriminator.pt",
    output:
        "results/restorations/{dataset}/{case}/{method}/{lam}/{shard}.npz",
    log:
        "results/logs/restore/{dataset}/{case}/{method}/{lam}/{shard}.log",
    benchmark:
        "results/benchmarks/restore/{dataset}/{case}/{method}/{lam}/{shard}.tsv"
    wildcard_constraints:
        method=experiment.family("inversion"),
    conda:
        "../../../envs/rgi.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: (
            attempt * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        runtime=120,
        gpu=0 if config["device"] == "cpu" else 1,
        device=config["device"],  # no parameter: where a job runs must not rerun it
    params:
        preset=lambda wildcards: experiment.methods[wildcards.method].preset,
        settings=lambda wildcards: as_json(experiment.settings(wildcards.case, wildcards.method)),
        rows=lambda wildcards: experiment.shard_rows(
            wildcards.dataset, wildcards.case, int(wildcards.shard)
        ),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/restore_inversion.py --case {input.case:q} --generator {input.generator:q}"
        " --discriminator {input.discriminator:q} --method {params.preset} --lam {wildcards.lam}"
        " --settings {params.settings:q} --first {params.rows[0]} --last {params.rows[1]}"
        " --seed {params.seed} --device {resources.device} --threads {threads}"
        " --output {output:q} > {log:q} 2>&1"
