# The progressive GAN of each data set: results/generators/{dataset}/
# checkpoint.pt is no declared output: a killed training must find it again. The device is a
# resource and no parameter: to move to another machine is no reason to train anew. Nor is another
# number of GPUs, hence the launcher is a resource, too. exec: a shell between snakemake and a script
# that takes signals would die of them first.
LAUNCHER = (
    "python" if config["gpus"] == 1 else f"torchrun --standalone --nproc-per-node {config['gpus']}"
)


rule generator:
    input:
        "results/datasets/{dataset}/train.npy",
    output:
        generator="results/generators/{dataset}/generator.pt",
        discriminator="results/generators/{dataset}/discriminator.pt",
        samples="results/generators/{dataset}/samples.png",
    log:
        "results/logs/generator/{dataset}.log",
    benchmark:
        "results/benchmarks/generator/{dataset}.tsv"
    wildcard_constraints:
        dataset=experiment.generators("trained"),
    priority: 1
    conda:
        "../../envs/rgi.yaml"
    threads: config["threads"] * config["gpus"]
    resources:
        mem_mb=lambda wildcards, attempt: (
            attempt
            * config["gpus"]
            * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        runtime=24 * 60,
        gpu=0 if config["device"] == "cpu" else config["gpus"],
        gpu_mb=lambda wildcards: (
            0
            if config["device"] == "cpu"
            else MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        device=config["device"],
        launcher=LAUNCHER,
    params:
        directory=lambda wildcards, output: Path(output.generator).parent,
        settings=lambda wildcards: as_json(config["generators"][wildcards.dataset]),
        seed=config["seed"],
    shell:
        "exec {resources.launcher} $SCRIPTS/train_generator.py --images {input:q} --settings {params.settings:q}"
        " --seed {params.seed} --device {resources.device} --threads {threads}"
        " --directory {params.directory:q} > {log:q} 2>&1"
