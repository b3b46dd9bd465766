# Classical filters, for corruption at unknown pixels.
rule restore_filter:
    input:
        case="results/cases/{dataset}/{case}.npz",
    output:
        "results/restorations/{dataset}/{case}/{method}/{lam}/{shard}.npz",
    log:
        "results/logs/restore/{dataset}/{case}/{method}/{lam}/{shard}.log",
    benchmark:
        "results/benchmarks/restore/{dataset}/{case}/{method}/{lam}/{shard}.tsv"
    wildcard_constraints:
        method=experiment.family("filters"),
    conda:
        "../../../envs/rgi.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=30,
    params:
        preset=lambda wildcards: experiment.methods[wildcards.method].preset,
        settings=lambda wildcards: as_json(experiment.methods[wildcards.method].settings),
        rows=lambda wildcards: experiment.shard_rows(
            wildcards.dataset, wildcards.case, wildcards.method, int(wildcards.shard)
        ),
    shell:
        "python $SCRIPTS/restore_filter.py --case {input.case:q} --method {params.preset}"
        " --lam {wildcards.lam} --settings {params.settings:q}"
        " --first {params.rows[0]} --last {params.rows[1]} --output {output:q} > {log:q} 2>&1"
