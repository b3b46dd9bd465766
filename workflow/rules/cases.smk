# The masks of a public set of defects, for cases of corruption library.
rule library:
    input:
        "results/unpacked/mvtec-ad/mvtec_anomaly_detection.tar",
    output:
        "results/libraries/mvtec-ad.zip",
    log:
        "results/logs/library/mvtec-ad.log",
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=30,
    shell:
        "python $SCRIPTS/collect_masks.py --archive {input:q} --output {output:q} > {log:q} 2>&1"


# Test images with known corruption: results/cases/{dataset}/{case}.npz
rule case:
    input:
        images="results/datasets/{dataset}/test.npy",
        given=lambda wildcards: (
            [
                f"results/datasets/{{dataset}}/{name}"
                for name in experiment.beside_test(wildcards.dataset)
            ]
            if config["cases"][wildcards.case]["corruption"] == "given"
            else []
        ),
        library=lambda wildcards: experiment.collected(wildcards.case),
    output:
        case="results/cases/{dataset}/{case}.npz",
        preview="results/cases/{dataset}/{case}.png",
    log:
        "results/logs/case/{dataset}/{case}.log",
    benchmark:
        "results/benchmarks/case/{dataset}/{case}.tsv"
    wildcard_constraints:
        case="[^_]+",
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: (
            attempt * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
            + experiment.operator_megabytes(wildcards.dataset, wildcards.case)
        ),
        runtime=30,
    params:
        given=lambda wildcards, input: [
            word
            for option, path in zip(("--masks", "--kinds", "--groups"), input.given)
            for word in (option, path)
        ],
        settings=lambda wildcards: as_json(experiment.case(wildcards.dataset, wildcards.case)),
        library=lambda wildcards: experiment.library(wildcards.case),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/synthesise_case.py --images {input.images:q} {params.given:q}"
        " --name {wildcards.case:q}"
        " --settings {params.settings:q} --seed {params.seed}"
        " --output {output.case:q} --preview {output.preview:q} > {log:q} 2>&1"


# x = G(z) + s, the setting of theorems 1 and 2.
rule simulation:
    input:
        generator="results/generators/{dataset}/generator.pt",
        library=lambda wildcards: experiment.collected(wildcards.case),
    output:
        case="results/cases/{dataset}/{case}_{level}.npz",
        preview="results/cases/{dataset}/{case}_{level}.png",
    log:
        "results/logs/simulation/{dataset}/{case}_{level}.log",
    benchmark:
        "results/benchmarks/simulation/{dataset}/{case}_{level}.tsv"
    wildcard_constraints:
        case="[^_]+",
    conda:
        "../../envs/rgi.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: (
            attempt * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        runtime=30,
    params:
        settings=lambda wildcards: as_json(experiment.simulated(wildcards.dataset, wildcards.case)),
        library=lambda wildcards: experiment.library(wildcards.case),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/synthesise_simulation.py --generator {input.generator:q} --name {wildcards.case:q}"
        " --level={wildcards.level} --settings {params.settings:q} --seed {params.seed}"
        " --threads {threads}"
        " --output {output.case:q} --preview {output.preview:q} > {log:q} 2>&1"
