# An autoencoder's reconstruction, and energy-based projection on its normal images.
rule restore_projection:
    input:
        case="results/cases/{dataset}/{case}.npz",
        autoencoder=lambda wildcards: experiment.autoencoder(wildcards.dataset, wildcards.method),
    output:
        "results/restorations/{dataset}/{case}/{method}/{lam}/{shard}.npz",
    log:
        "results/logs/restore/{dataset}/{case}/{method}/{lam}/{shard}.log",
    benchmark:
        "results/benchmarks/restore/{dataset}/{case}/{method}/{lam}/{shard}.tsv"
    wildcard_constraints:
        method=experiment.family("projection"),
    conda:
        "../../../envs/rgi.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: (
            attempt * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        runtime=120,
        gpu=0 if config["device"] == "cpu" else 1,
        gpu_mb=0 if config["device"] == "cpu" else 4000,
        device=config["device"],
    params:
        preset=lambda wildcards: experiment.methods[wildcards.method].preset,
        settings=lambda wildcards: as_json(experiment.methods[wildcards.method].settings),
        rows=lambda wildcards: experiment.shard_rows(
            wildcards.dataset, wildcards.case, wildcards.method, int(wildcards.shard)
        ),
    shell:
        "python $SCRIPTS/restore_projection.py --case {input.case:q}"
        " --autoencoder {input.autoencoder:q} --method {params.preset} --lam {wildcards.lam}"
        " --settings {params.settings:q} --first {params.rows[0]} --last {params.rows[1]}"
        " --device {resources.device} --threads {threads} --output {output:q} > {log:q} 2>&1"
