"""The tree of methods: what each is made of, read off the registries."""

from pathlib import Path

import pytest
import yaml

from rgi.baselines import FILTERS, LOW_RANK
from rgi.errors import InputError
from rgi.inversion.methods import METHODS as INVERSIONS
from rgi.projection.methods import METHODS as PROJECTIONS
from rgi.reporting.family_tree import HEADINGS, TRAITS, UNKNOWN, family_tree_figure, leaves

ROOT = Path(__file__).parent.parent
REGISTRIES = {
    "inversion": INVERSIONS,
    "projection": PROJECTIONS,
    "filters": FILTERS,
    "low-rank": LOW_RANK,
}
ALL = {name: {"family": family} for family, known in REGISTRIES.items() for name in known}


def described(name, family="inversion", **entry):
    (leaf,) = leaves({name: {"family": family, **entry}})
    return leaf.traits


def test_every_family_that_has_a_rule_tells_what_its_methods_are_made_of():
    assert set(TRAITS) == {path.stem for path in (ROOT / "workflow/rules/methods").glob("*.smk")}
    assert len(leaves(ALL)) == len(ALL)


def test_no_two_methods_that_invert_are_told_alike():
    told = [leaf.traits for leaf in leaves(ALL) if leaf.family == "inversion"]
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("family", ["inversion", "projection"])
def test_who_needs_the_true_mask_says_so(family):
    for name, method in REGISTRIES[family].items():
        assert ("true mask" in described(name, family).needs) == method.needs_mask


def test_what_the_papers_say_of_their_methods():
    rgi, yeh = described("rgi"), described("yeh-with-mask")
    assert (rgi.variables, rgi.prior) == ("latent, mask", "sparse mask (lambda), discriminator")
    assert (yeh.variables, yeh.prior) == ("latent", "discriminator")
    assert described("r-rgi").variables == "latent, mask, weights"
    assert described("ilo").needs == "generator, operator, LPIPS weights"
    assert described("pulse").prior == "latent on a sphere"
    assert described("vae-grad", "projection").prior == "distance moved (lambda)"
    assert described("vae", "projection").variables == "nothing"


def test_settings_and_presets_count_and_not_names():
    changed = described("mine", preset="rgi", settings={"critic_weight": 0})
    assert changed.prior == "sparse mask (lambda)"
    assert changed.needs == "generator"
    with pytest.raises(InputError, match="'nonsuch'.* is unknown"):
        described("nonsuch")


def test_of_a_family_of_ones_own_nothing_is_known():
    assert described("mean-image", "mean") == UNKNOWN


def test_kin_stand_side_by_side_in_the_order_they_come_in():
    entries = ("rgi", "l2", "vae", "r-rgi", "yeh-without-mask")
    found = leaves({name: ALL[name] for name in entries})
    assert [leaf.name for leaf in found] == ["rgi", "l2", "yeh-without-mask", "r-rgi", "vae"]


def test_the_figure_names_every_method_and_what_it_is_made_of():
    methods = yaml.safe_load((ROOT / "config.yaml").read_text())["methods"]
    figure = family_tree_figure(methods)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert set(HEADINGS) | set(methods) <= set(texts)
    assert texts.count("generator, discriminator, true mask") == 2  # Yeh's and Pan's
