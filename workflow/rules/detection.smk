# Anomaly detection: results/detection/{dataset}/{case}/{method}/{summary,points,images,curves}.csv
localrules:
    detection,
    defects,


rule detection:
    input:
        case="results/cases/{dataset}/{case}.npz",
        restorations=lambda wildcards: experiment.restorations(**wildcards),
    output:
        summary="results/detection/{dataset}/{case}/{method}/summary.csv",
        points="results/detection/{dataset}/{case}/{method}/points.csv",
        images="results/detection/{dataset}/{case}/{method}/images.csv",
        curves="results/detection/{dataset}/{case}/{method}/curves.csv",
    log:
        "results/logs/detection/{dataset}/{case}/{method}.log",
    benchmark:
        "results/benchmarks/detection/{dataset}/{case}/{method}.tsv"
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * experiment.detection_megabytes(**wildcards),
        runtime=60,
    params:
        restorations="results/restorations/{dataset}/{case}/{method}",
        lams=lambda wildcards: [f"--lam={lam}" for lam in experiment.methods[wildcards.method].lams],
        shards=lambda wildcards: len(
            experiment.shards(wildcards.dataset, wildcards.case, wildcards.method)
        ),
        restores=lambda wildcards: experiment.methods[wildcards.method].restores_option,
        folds=config["folds"],
        seed=config["seed"],
        directory=lambda wildcards, output: Path(output.summary).parent,
    shell:
        "python $SCRIPTS/score_detection.py --case {input.case:q}"
        " --restorations {params.restorations:q} {params.lams} --shards {params.shards}"
        " {params.restores} --folds {params.folds} --seed {params.seed}"
        " --directory {params.directory:q} > {log:q} 2>&1"


# What an inspector needs, a row per image and defect: results/defects/{dataset}/{case}/{method}.csv
rule defects:
    input:
        case="results/cases/{dataset}/{case}.npz",
        restorations=lambda wildcards: experiment.restorations(**wildcards),
        images="results/detection/{dataset}/{case}/{method}/images.csv",
    output:
        "results/defects/{dataset}/{case}/{method}.csv",
    log:
        "results/logs/defects/{dataset}/{case}/{method}.log",
    benchmark:
        "results/benchmarks/defects/{dataset}/{case}/{method}.tsv"
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * experiment.detection_megabytes(**wildcards),
        runtime=30,
    params:
        restorations="results/restorations/{dataset}/{case}/{method}",
        lams=lambda wildcards: [f"--lam={lam}" for lam in experiment.methods[wildcards.method].lams],
        shards=lambda wildcards: len(
            experiment.shards(wildcards.dataset, wildcards.case, wildcards.method)
        ),
        restores=lambda wildcards: experiment.methods[wildcards.method].restores_option,
        detection=lambda wildcards, input: Path(input.images).parent,
    shell:
        "python $SCRIPTS/measure_defects.py --case {input.case:q}"
        " --restorations {params.restorations:q} {params.lams} --shards {params.shards}"
        " {params.restores} --detection {params.detection:q} --output {output:q} > {log:q} 2>&1"
