# Tables, figures and the page that shows them all: reports/
localrules:
    table,
    figure,
    figure_methods,
    report,


# What is printed about each table of the config. The simulation has no cost or sensitivity of its
# own: it is there for its errors, and its CSV names the lambdas. The solver table holds its cost.
TABLES = {
    "inpainting": ["inpainting", "cost", "lambda-sensitivity"],
    "anomaly-detection": ["anomaly-detection", "cost", "lambda-sensitivity"],
    "simulation": ["simulation"],
    "solver": ["solver"],
}
FIGURES = {
    "inpainting": ["restorations", "lambda-sensitivity"],
    "anomaly-detection": [
        "detections",
        "detection-curves",
        "dice-by-defect",
        *(["training-size"] if experiment.training_series() else []),
        *(["steps"] if experiment.step_series() else []),
        "lambda-sensitivity",
    ],
    "simulation": ["simulation"],
    "solver": ["solver", "solver-seconds"],
}
TABLE_OF_FIGURE = {"solver-seconds": "solver"}  # others are drawn from the table of their name
# Which tables of the config a printed one is about: one, or all that have it in common.
ABOUT = {
    name: [about for about in experiment.tables() if name in TABLES[about]]
    for asked in experiment.tables()
    for name in TABLES[asked]
}
ASKED_FIGURES = [
    *dict.fromkeys(f for about in experiment.tables() for f in FIGURES[about]),
    "methods",
]
# Figures that need more or less than a table, with rules of their own.
OF_MORE = [
    "restorations",
    "detections",
    "detection-curves",
    "dice-by-defect",
    "training-size",
    "methods",
    "steps",
]
SCORED = [
    "results/scores/{dataset}/{case}/{method}.csv",
    "results/selection/{dataset}/{case}/{method}.csv",
]
MADE_OF = {
    "anomaly-detection": [
        "results/detection/{dataset}/{case}/{method}/summary.csv",
        "results/scores/{dataset}/{case}/{method}.csv",
    ]
}


rule table:
    input:
        lambda wildcards: [
            path
            for pattern in MADE_OF.get(wildcards.table, SCORED)
            for about in ABOUT[wildcards.table]
            for path in experiment.files(pattern, about)
        ],
    output:
        csv=report("reports/tables/{table}.csv", category="Tables", labels={"table": "{table}"}),
        md="reports/tables/{table}.md",
        tex="reports/tables/{table}.tex",
    log:
        "results/logs/table/{table}.log",
    benchmark:
        "results/benchmarks/table/{table}.tsv"
    wildcard_constraints:
        table="|".join(ABOUT),
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        tables=lambda wildcards: [
            f"--table={as_json(experiment.table(about))}" for about in ABOUT[wildcards.table]
        ],
        published=lambda wildcards: [
            f"--as-published={row}" for row in experiment.as_published(wildcards.table)
        ],
        folds=config["folds"],
        seed=config["seed"],
    shell:
        "python $SCRIPTS/make_table.py --name {wildcards.table} {params.tables:q}"
        " --scores results/scores --selection results/selection --detection results/detection"
        " {params.published}"
        " --folds {params.folds} --seed {params.seed}"
        " --output-csv {output.csv:q} --output-md {output.md:q} --output-tex {output.tex:q}"
        " > {log:q} 2>&1"


if "inpainting" in experiment.tables():

    localrules:
        figure_restorations,

    rule figure_restorations:
        input:
            cases=[
                f"results/cases/{dataset}/{case}.npz"
                for dataset, case in dict.fromkeys(
                    row[:2] for row in experiment.rows("inpainting")
                )
            ],
            selection=experiment.files(
                "results/selection/{dataset}/{case}/{method}.csv", "inpainting"
            ),
            restorations=[
                path
                for row in experiment.rows("inpainting")
                for path in experiment.restorations(*row)
            ],
        output:
            png=report(
                "reports/figures/restorations.png",
                category="Figures",
                labels={"figure": "restorations"},
            ),
            pdf="reports/figures/restorations.pdf",
        log:
            "results/logs/figure/restorations.log",
        benchmark:
            "results/benchmarks/figure/restorations.tsv"
        conda:
            "../../envs/rgi.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            table=as_json(experiment.table("inpainting")),
            masks=[
                f"--finds-mask={name}"
                for name in experiment.table("inpainting")["methods"]
                if experiment.methods[name].mask == "found"
            ],
        shell:
            "python $SCRIPTS/figure_restorations.py --results results --table {params.table:q}"
            " {params.masks} --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"


if "anomaly-detection" in experiment.tables():

    localrules:
        figure_detections,
        figure_detection_lines,
        figure_training_size,
        figure_steps,

    rule figure_detections:
        input:
            cases=[
                f"results/cases/{dataset}/{case}.npz"
                for dataset, case in dict.fromkeys(
                    row[:2] for row in experiment.rows("anomaly-detection")
                )
            ],
            detection=experiment.files(
                "results/detection/{dataset}/{case}/{method}/images.csv", "anomaly-detection"
            ),
            restorations=[
                path
                for row in experiment.rows("anomaly-detection")
                for path in experiment.restorations(*row)
            ],
        output:
            png=report(
                "reports/figures/detections.png",
                category="Figures",
                labels={"figure": "detections"},
            ),
            pdf="reports/figures/detections.pdf",
        log:
            "results/logs/figure/detections.log",
        benchmark:
            "results/benchmarks/figure/detections.tsv"
        conda:
            "../../envs/rgi.yaml"
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            table=as_json(experiment.table("anomaly-detection")),
        shell:
            "python $SCRIPTS/figure_detections.py --results results --table {params.table:q}"
            " --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"

    rule figure_detection_lines:
        input:
            experiment.files(
                "results/detection/{dataset}/{case}/{method}/curves.csv", "anomaly-detection"
            ),
            experiment.files(
                "results/detection/{dataset}/{case}/{method}/images.csv", "anomaly-detection"
            ),
        output:
            png=report(
                "reports/figures/{figure}.png", category="Figures", labels={"figure": "{figure}"}
            ),
            pdf="reports/figures/{figure}.pdf",
        log:
            "results/logs/figure/{figure}.log",
        benchmark:
            "results/benchmarks/figure/{figure}.tsv"
        wildcard_constraints:
            figure="detection-curves|dice-by-defect",
        conda:
            "../../envs/rgi.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            table=as_json(experiment.table("anomaly-detection")),
        shell:
            "python $SCRIPTS/figure_detection_lines.py --name {wildcards.figure}"
            " --detection results/detection --table {params.table:q}"
            " --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"

    rule figure_training_size:
        input:
            table="reports/tables/anomaly-detection.csv",
            train=[
                f"results/datasets/{dataset}/train.npy"
                for series in experiment.training_series()
                for dataset in series
            ],
        output:
            png=report(
                "reports/figures/training-size.png",
                category="Figures",
                labels={"figure": "training-size"},
            ),
            pdf="reports/figures/training-size.pdf",
        log:
            "results/logs/figure/training-size.log",
        benchmark:
            "results/benchmarks/figure/training-size.tsv"
        conda:
            "../../envs/rgi.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            series=[f"--series={','.join(names)}" for names in experiment.training_series()],
        shell:
            "python $SCRIPTS/figure_training_size.py --table {input.table:q}"
            " --datasets results/datasets {params.series:q}"
            " --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"

    rule figure_steps:
        input:
            "reports/tables/anomaly-detection.csv",
        output:
            png=report("reports/figures/steps.png", category="Figures", labels={"figure": "steps"}),
            pdf="reports/figures/steps.pdf",
        log:
            "results/logs/figure/steps.log",
        benchmark:
            "results/benchmarks/figure/steps.tsv"
        conda:
            "../../envs/rgi.yaml"
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            lines=as_json(experiment.step_series()),
        shell:
            "python $SCRIPTS/figure_steps.py --table {input:q} --lines {params.lines:q}"
            " --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"


rule figure:
    input:
        lambda wildcards: (
            f"reports/tables/{TABLE_OF_FIGURE.get(wildcards.figure, wildcards.figure)}.csv"
        ),
    output:
        png=report(
            "reports/figures/{figure}.png", category="Figures", labels={"figure": "{figure}"}
        ),
        pdf="reports/figures/{figure}.pdf",
    log:
        "results/logs/figure/{figure}.log",
    benchmark:
        "results/benchmarks/figure/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(name for name in ASKED_FIGURES if name not in OF_MORE) or "$.",
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python $SCRIPTS/make_figure.py --name {wildcards.figure} --table {input:q}"
        " --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"


rule figure_methods:
    output:
        png=report("reports/figures/methods.png", category="Figures", labels={"figure": "methods"}),
        pdf="reports/figures/methods.pdf",
    log:
        "results/logs/figure/methods.log",
    benchmark:
        "results/benchmarks/figure/methods.tsv"
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        # A function: Snakemake would read braces in plain text as wildcards.
        methods=lambda wildcards: as_json(experiment.method_entries()),
    shell:
        "python $SCRIPTS/figure_methods.py --methods {params.methods:q}"
        " --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"


rule report:
    input:
        tables=expand("reports/tables/{name}.csv", name=ABOUT),
        figures=expand("reports/figures/{name}.png", name=ASKED_FIGURES),
        previews=expand("results/datasets/{dataset}/preview.png", dataset=experiment.datasets()),
        samples=experiment.samples()["generators"],
        reconstructions=experiment.samples()["autoencoders"],
    output:
        "reports/report.html",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        # Functions: Snakemake would read braces in plain text as wildcards.
        config=lambda wildcards: as_json(config),
        command=lambda wildcards: COMMAND,
        tables=lambda wildcards, input: [f"--table={path}" for path in input.tables],
        figures=lambda wildcards, input: [f"--figure={path}" for path in input.figures],
        previews=lambda wildcards, input: [f"--preview={path}" for path in input.previews],
        samples=lambda wildcards, input: [f"--samples={path}" for path in input.samples],
        reconstructions=lambda wildcards, input: [
            f"--reconstructions={path}" for path in input.reconstructions
        ],
    shell:
        "python $SCRIPTS/write_report.py --config {params.config:q} --command {params.command:q}"
        " {params.tables} {params.figures} {params.previews} {params.samples}"
        " {params.reconstructions}"
        " --output {output:q} > {log:q} 2>&1"
