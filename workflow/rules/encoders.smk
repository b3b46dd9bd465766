# Encoders of generators, for starts: results/encoders/{dataset}/
# checkpoint.pt is no declared output: a killed training must find it again. The device is a
# resource and no parameter: to move to another machine is no reason to train anew.
rule encoder:
    input:
        "results/generators/{dataset}/generator.pt",
    output:
        encoder="results/encoders/{dataset}/encoder.pt",
        samples="results/encoders/{dataset}/samples.png",
    log:
        "results/logs/encoder/{dataset}.log",
    benchmark:
        "results/benchmarks/encoder/{dataset}.tsv"
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
        directory=lambda wildcards, output: Path(output.encoder).parent,
        settings=lambda wildcards: as_json(config["encoders"][wildcards.dataset]),
        seed=config["seed"],
    shell:
        "exec python $SCRIPTS/train_encoder.py --generator {input:q} --settings {params.settings:q}"
        " --seed {params.seed} --device {resources.device} --threads {threads}"
        " --directory {params.directory:q} > {log:q} 2>&1"
