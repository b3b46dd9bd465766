# Models of anomalib: a training per data set and method, then scores of each case's pixels.
# Where each rule makes its own environment, this one need not hold anomalib.
if not workflow.deployment_settings.deployment_method:
    try:
        for detecting_method in experiment.asked("anomalib"):
            check_model(detecting_method.preset)
    except InputError as error:
        sys.exit(f"error: {error}")


rule detector:
    input:
        images="results/datasets/{dataset}/train.npy",
        backbone=lambda wildcards: experiment.backbone(wildcards.method),
    output:
        detector="results/detectors/{dataset}/{method}/detector.pt",
        record="results/detectors/{dataset}/{method}/training.jsonl",
    log:
        "results/logs/detector/{dataset}/{method}.log",
    benchmark:
        "results/benchmarks/detector/{dataset}/{method}.tsv"
    wildcard_constraints:
        method=experiment.family("anomalib"),
    priority: 1
    conda:
        "../../../envs/anomalib.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 16000,
        runtime=24 * 60,
        gpu=0 if config["device"] == "cpu" else 1,
        gpu_mb=0 if config["device"] == "cpu" else 16000,
        device=config["device"],
    params:
        directory=lambda wildcards, output: Path(output.detector).parent,
        preset=lambda wildcards: experiment.methods[wildcards.method].preset,
        settings=lambda wildcards: as_json(experiment.methods[wildcards.method].settings),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/train_detector.py --images {input.images:q} --model {params.preset:q}"
        " --settings {params.settings:q} --seed {params.seed} --device {resources.device}"
        " --threads {threads} --directory {params.directory:q} > {log:q} 2>&1"


rule restore_anomalib:
    input:
        case="results/cases/{dataset}/{case}.npz",
        detector="results/detectors/{dataset}/{method}/detector.pt",
    output:
        "results/restorations/{dataset}/{case}/{method}/{lam}/{shard}.npz",
    log:
        "results/logs/restore/{dataset}/{case}/{method}/{lam}/{shard}.log",
    benchmark:
        "results/benchmarks/restore/{dataset}/{case}/{method}/{lam}/{shard}.tsv"
    wildcard_constraints:
        method=experiment.family("anomalib"),
    conda:
        "../../../envs/anomalib.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 4000,
        runtime=120,
        gpu=0 if config["device"] == "cpu" else 1,
        gpu_mb=0 if config["device"] == "cpu" else 4000,
        device=config["device"],
    params:
        rows=lambda wildcards: experiment.shard_rows(
            wildcards.dataset, wildcards.case, wildcards.method, int(wildcards.shard)
        ),
    shell:
        "python $SCRIPTS/restore_anomalib.py --case {input.case:q} --detector {input.detector:q}"
        " --first {params.rows[0]} --last {params.rows[1]} --device {resources.device}"
        " --threads {threads} --output {output:q} > {log:q} 2>&1"
