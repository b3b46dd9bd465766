# Every metric of every restored image: results/scores/{dataset}/{case}/{method}.csv
# Seconds of work, less than what a job of a cluster costs, hence local.
localrules:
    scores,


rule scores:
    input:
        case="results/cases/{dataset}/{case}.npz",
        restorations=lambda wildcards: experiment.restorations(**wildcards),
    output:
        "results/scores/{dataset}/{case}/{method}.csv",
    log:
        "results/logs/scores/{dataset}/{case}/{method}.log",
    benchmark:
        "results/benchmarks/scores/{dataset}/{case}/{method}.tsv"
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=60,
    params:
        directory="results/restorations/{dataset}/{case}/{method}",
        lams=lambda wildcards: [f"--lam={lam}" for lam in experiment.methods[wildcards.method].lams],
        shards=lambda wildcards: len(
            experiment.shards(wildcards.dataset, wildcards.case, wildcards.method)
        ),
        metrics=[f"--metrics={metric}" for metric in config["metrics"]],
        mask=lambda wildcards: experiment.methods[wildcards.method].mask,
        restores=lambda wildcards: experiment.methods[wildcards.method].restores_option,
    shell:
        "python $SCRIPTS/score_restorations.py --case {input.case:q}"
        " --restorations {params.directory:q} {params.lams}"
        " --shards {params.shards} {params.metrics} --mask {params.mask}"
        " {params.restores} --output {output:q} > {log:q} 2>&1"
