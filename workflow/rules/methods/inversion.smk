# Methods that invert a generator: one job per (data set, case, method, lambda, shard), or one for all
# lambdas where the config says `together`. A killed job goes on from .SHARD.checkpoint.pt, which is no
# declared output, lest snakemake deletes it. exec: see training.smk.
INVERSION_INPUT = {
    "case": "results/cases/{dataset}/{case}.npz",
    "generator": "results/generators/{dataset}/generator.pt",
    # None beside a generator that was imported alone.
    "discriminator": lambda wildcards: experiment.discriminator(wildcards.dataset),
    "encoder": lambda wildcards: experiment.encoder(
        wildcards.dataset, wildcards.case, wildcards.method
    ),
}
INVERSION_RESOURCES = {
    "mem_mb": lambda wildcards, attempt: (
        attempt * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        + config["memory_mb"]
        + experiment.operator_megabytes(wildcards.dataset, wildcards.case)
    ),
    "runtime": 120,
    "gpu": 0 if config["device"] == "cpu" else 1,
    "gpu_mb": lambda wildcards: (
        0
        if config["device"] == "cpu"
        else config["memory_mb"]
        + CUDA_MEGABYTES
        + experiment.operator_megabytes(wildcards.dataset, wildcards.case)
    ),
    # No parameters: where a job runs must not rerun it.
    "device": config["device"],
    "memory_mb": config["memory_mb"],
}
INVERSION_PARAMS = {
    "preset": lambda wildcards: experiment.methods[wildcards.method].preset,
    "settings": lambda wildcards: as_json(experiment.settings(wildcards.case, wildcards.method)),
    "rows": lambda wildcards: experiment.shard_rows(
        wildcards.dataset, wildcards.case, wildcards.method, int(wildcards.shard)
    ),
    "seed": config["seed"],
    "version": INVERSION_VERSION,  # not in the command: an engine that finds something else reruns
    "discriminator": lambda wildcards, input: (
        ["--discriminator", *input.discriminator] if input.discriminator else []
    ),
    "encoder": lambda wildcards, input: ["--encoder", *input.encoder] if input.encoder else [],
}
INVERSION_COMMAND = (
    "exec python $SCRIPTS/restore_inversion.py --case {input.case:q} --generator {input.generator:q}"
    " {params.discriminator:q} {params.encoder:q} --method {params.preset}"
    " --settings {params.settings:q} --first {params.rows[0]} --last {params.rows[1]}"
    " --seed {params.seed} --device {resources.device} --threads {threads}"
    " --memory {resources.memory_mb} {params.files:q} > {log:q} 2>&1"
)


rule restore_inversion:
    input:
        **INVERSION_INPUT,
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
        **INVERSION_RESOURCES,
    params:
        **INVERSION_PARAMS,
        files=lambda wildcards, output: lam_options([wildcards.lam], output),
    shell:
        INVERSION_COMMAND


for grid_method in experiment.together("inversion"):

    rule:
        name:
            f"restore_all_lambdas_of_{grid_method.name}"
        input:
            **INVERSION_INPUT,
        output:
            expand(
                "results/restorations/{dataset}/{case}/{method}/{lam}/{shard}.npz",
                lam=grid_method.lams,
                allow_missing=True,
            ),
        log:
            "results/logs/restore/{dataset}/{case}/{method}/{shard}.log",
        benchmark:
            "results/benchmarks/restore/{dataset}/{case}/{method}/{shard}.tsv"
        wildcard_constraints:
            method=re.escape(grid_method.name),
        conda:
            "../../../envs/rgi.yaml"
        threads: config["threads"]
        resources:
            **{**INVERSION_RESOURCES, "runtime": 120 * len(grid_method.lams)},
        params:
            **INVERSION_PARAMS,
            files=lambda wildcards, output: lam_options(
                experiment.methods[wildcards.method].lams, output
            ),
        shell:
            INVERSION_COMMAND

    # No profile can know this rule's name.
    share_settings(workflow, "restore_inversion", f"restore_all_lambdas_of_{grid_method.name}")
