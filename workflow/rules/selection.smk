# Lambda by cross-validation over images: results/selection/{dataset}/{case}/{method}.csv
localrules:
    selection,


rule selection:
    input:
        "results/scores/{dataset}/{case}/{method}.csv",
    output:
        "results/selection/{dataset}/{case}/{method}.csv",
    log:
        "results/logs/selection/{dataset}/{case}/{method}.log",
    benchmark:
        "results/benchmarks/selection/{dataset}/{case}/{method}.tsv"
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        folds=config["folds"],
        seed=config["seed"],
    shell:
        "python $SCRIPTS/select_lambda.py --scores {input:q} --folds {params.folds} --seed {params.seed}"
        " --output {output:q} > {log:q} 2>&1"
