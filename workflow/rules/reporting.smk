# Tables, figures and the page that shows them all: reports/
localrules:
    table,
    figure_restorations,
    figure,
    report,


# Which table's data sets, cases and methods each printed table is about.
TABLES = {
    "inpainting": ["inpainting", "cost", "lambda-sensitivity"],
    "simulation": ["simulation"],
}
FIGURES = {
    "inpainting": ["restorations", "lambda-sensitivity"],
    "simulation": ["simulation"],
}
ASKED_TABLES = [name for about in experiment.tables() for name in TABLES[about]]
ASKED_FIGURES = [name for about in experiment.tables() for name in FIGURES[about]]
ABOUT = {name: about for about, names in TABLES.items() for name in names}


rule table:
    input:
        scores=lambda wildcards: experiment.files(
            "results/scores/{dataset}/{case}/{method}.csv", ABOUT[wildcards.table]
        ),
        selection=lambda wildcards: experiment.files(
            "results/selection/{dataset}/{case}/{method}.csv", ABOUT[wildcards.table]
        ),
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
        script=lambda wildcards: f"table_{wildcards.table.replace('-', '_')}.py",
        table=lambda wildcards: as_json(config["tables"][ABOUT[wildcards.table]]),
        folds=config["folds"],
        seed=config["seed"],
    shell:
        "python $SCRIPTS/{params.script} --scores results/scores --selection results/selection"
        " --table {params.table:q} --folds {params.folds} --seed {params.seed}"
        " --output-csv {output.csv:q} --output-md {output.md:q} --output-tex {output.tex:q}"
        " > {log:q} 2>&1"


rule figure_restorations:
    input:
        cases=[
            f"results/cases/{dataset}/{case}.npz"
            for dataset, case in dict.fromkeys(row[:2] for row in experiment.rows("inpainting"))
        ],
        selection=experiment.files("results/selection/{dataset}/{case}/{method}.csv", "inpainting"),
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
        table=as_json(experiment.inpainting),
        masks=[
            f"--finds-mask={method.name}"
            for method in experiment.methods.values()
            if method.finds_mask
        ],
    shell:
        "python $SCRIPTS/figure_restorations.py --results results --table {params.table:q} {params.masks}"
        " --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"


rule figure:
    input:
        "reports/tables/{figure}.csv",
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
        figure="simulation|lambda-sensitivity",
    conda:
        "../../envs/rgi.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        script=lambda wildcards: f"figure_{wildcards.figure.replace('-', '_')}.py",
    shell:
        "python $SCRIPTS/{params.script} --table {input:q}"
        " --output-png {output.png:q} --output-pdf {output.pdf:q} > {log:q} 2>&1"


rule report:
    input:
        tables=expand("reports/tables/{name}.csv", name=ASKED_TABLES),
        figures=expand("reports/figures/{name}.png", name=ASKED_FIGURES),
        previews=expand("results/datasets/{dataset}/preview.png", dataset=experiment.datasets()),
        samples=expand("results/generators/{dataset}/samples.png", dataset=experiment.datasets()),
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
        config=as_json(config),
        command=COMMAND,
        tables=lambda wildcards, input: [f"--table={path}" for path in input.tables],
        figures=lambda wildcards, input: [f"--figure={path}" for path in input.figures],
        previews=lambda wildcards, input: [f"--preview={path}" for path in input.previews],
        samples=lambda wildcards, input: [f"--samples={path}" for path in input.samples],
    shell:
        "python $SCRIPTS/write_report.py --config {params.config:q} --command {params.command:q}"
        " {params.tables} {params.figures} {params.previews} {params.samples}"
        " --output {output:q} > {log:q} 2>&1"
