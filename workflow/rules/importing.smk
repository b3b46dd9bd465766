# Generators that were trained elsewhere: results/generators/{dataset}/ as after a training.
localrules:
    weights,


# Cluster nodes often have no network, hence a local rule.
rule weights:
    output:
        "results/downloads/generators/{dataset}/{network}.pt",
    log:
        "results/logs/weights/{dataset}/{network}.log",
    wildcard_constraints:
        network="generator|discriminator",
    conda:
        "../../envs/rgi.yaml"
    resources:
        mirror=MIRROR,
    params:
        entry=lambda wildcards: experiment.weights_entries(wildcards.dataset)[wildcards.network],
    shell:
        "python $SCRIPTS/download_weights.py --url {params.entry[url]:q}"
        " --sha256 {params.entry[sha256]} {resources.mirror} --output {output:q} > {log:q} 2>&1"


rule import_generator:
    input:
        unpack(lambda wildcards: experiment.weights(wildcards.dataset)),
        images="results/datasets/{dataset}/train.npy",
    output:
        generator="results/generators/{dataset}/generator.pt",
        discriminator="results/generators/{dataset}/discriminator.pt",
        samples="results/generators/{dataset}/samples.png",
    log:
        "results/logs/generator/{dataset}.log",
    benchmark:
        "results/benchmarks/generator/{dataset}.tsv"
    wildcard_constraints:
        dataset=experiment.generators("imported"),
    conda:
        "../../envs/rgi.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: (
            attempt * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        runtime=60,
    params:
        directory=lambda wildcards, output: Path(output.generator).parent,
        files=lambda wildcards: experiment.weights_options(wildcards.dataset),
        seed=config["seed"],
    shell:
        "python $SCRIPTS/import_generator.py --images {input.images:q} {params.files:q}"
        " --seed {params.seed} --threads {threads} --directory {params.directory:q} > {log:q} 2>&1"


# For methods that do without a discriminator.
use rule import_generator as import_generator_alone with:
    output:
        generator="results/generators/{dataset}/generator.pt",
        samples="results/generators/{dataset}/samples.png",
    wildcard_constraints:
        dataset=experiment.generators("alone"),
