# The autoencoders of each data set: results/autoencoders/{dataset}/{autoencoder}/
# checkpoint.pt is no declared output: a killed training must find it again. The device is a
# resource and no parameter: to move to another machine is no reason to train anew.
rule autoencoder:
    input:
        "results/datasets/{dataset}/train.npy",
    output:
        autoencoder="results/autoencoders/{dataset}/{autoencoder}/autoencoder.pt",
        samples="results/autoencoders/{dataset}/{autoencoder}/samples.png",
    log:
        "results/logs/autoencoder/{dataset}/{autoencoder}.log",
    benchmark:
        "results/benchmarks/autoencoder/{dataset}/{autoencoder}.tsv"
    wildcard_constraints:
        autoencoder="[a-z0-9-]+",
    priority: 1
    conda:
        "../../envs/rgi.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: (
            attempt * MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        runtime=24 * 60,
        gpu=0 if config["device"] == "cpu" else 1,
        gpu_mb=lambda wildcards: (
            0
            if config["device"] == "cpu"
            else MEGABYTES[config["datasets"][wildcards.dataset]["resolution"]]
        ),
        device=config["device"],
    params:
        directory=lambda wildcards, output: Path(output.autoencoder).parent,
        settings=lambda wildcards: as_json(
            config["autoencoders"][wildcards.dataset][wildcards.autoencoder]
        ),
        seed=config["seed"],
    shell:
        "exec python $SCRIPTS/train_autoencoder.py --images {input:q} --kind {wildcards.autoencoder}"
        " --settings {params.settings:q} --seed {params.seed} --device {resources.device}"
        " --threads {threads} --directory {params.directory:q} > {log:q} 2>&1"
