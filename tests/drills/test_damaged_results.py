"""A result is damaged between two jobs: named, put aside, made again; the tables are the same."""

import drill
import pytest

# What is read again once these are gone.
REPORTS = ("reports",)
SCORES = ("reports", "results/scores", "results/detection")
RESTORATIONS = (*SCORES, "results/restorations")


def rebuilt(directory, path, *targets):
    """A run stops at the damaged file and names it; the next one goes through."""
    output = drill.failing(directory, *targets)
    assert f"error: {path}: damaged, or changed by something else" in output
    assert f"put aside as {path.split('/')[-1]}.damaged; run again" in output
    assert not (directory / path).exists()
    drill.snakemake(directory, *targets)


@pytest.mark.parametrize("damage", [drill.flip, drill.cut])
def test_a_damaged_score_is_computed_again(selected, copy, damage):
    directory, path = copy(selected), "results/scores/digits/block/median.csv"
    damage(directory / path)
    drill.forget(directory, drill.SELECTION)
    rebuilt(directory, path, drill.SELECTION)
    expected = (selected / drill.SELECTION).read_text()
    assert (directory / drill.SELECTION).read_text() == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "path", "forgotten"),
    [
        (drill.flip, "results/datasets/digits/train.npy", (*RESTORATIONS, "results/generators")),
        (drill.cut, "results/datasets/digits/test.npy", (*RESTORATIONS, "results/cases")),
        (drill.flip, "results/generators/digits/generator.pt", RESTORATIONS),
        (drill.cut, "results/generators/digits/generator.pt", RESTORATIONS),
        (drill.flip, "results/cases/digits/block.npz", RESTORATIONS),
        (drill.cut, "results/restorations/digits/block/rgi/0.1/0.npz", SCORES),
        (drill.flip, "results/scores/digits/block/rgi.csv", (*REPORTS, "results/selection")),
        (drill.cut, "results/selection/digits/block/rgi.csv", REPORTS),
        (drill.flip, "results/detection/digits/block/rgi/summary.csv", REPORTS),
    ],
)
def test_a_damaged_result_ends_in_the_same_tables(undisturbed, copy, damage, path, forgotten):
    directory = copy(undisturbed)
    damage(directory / path)
    drill.forget(directory, *forgotten)
    rebuilt(directory, path)
    drill.check_tables(directory, undisturbed)


@pytest.mark.slow
def test_a_damaged_table_is_made_again_before_a_figure_is_drawn_from_it(undisturbed, copy):
    figure = "reports/figures/lambda-sensitivity.png"
    directory, path = copy(undisturbed), "reports/tables/lambda-sensitivity.csv"
    drill.cut(directory / path)
    rebuilt(directory, path, figure)
    drill.check_tables(directory, undisturbed)
    assert (directory / figure).exists()


@pytest.mark.slow
def test_only_what_follows_from_the_damaged_file_is_made_again(undisturbed, copy):
    directory, path = copy(undisturbed), "results/scores/digits/block/rgi.csv"
    drill.flip(directory / path)
    drill.forget(directory, "reports", "results/selection/digits/block/rgi.csv")
    drill.failing(directory)
    output = drill.snakemake(directory, "-n")
    for kept in (
        "dataset",
        "generator",
        "case",
        "restore_inversion",
        "restore_filter",
        "detection",
    ):
        assert f"rule {kept}:" not in output
    assert "rule scores:" in output
