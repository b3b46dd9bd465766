"""The area of a mask: what it is, and that the last stage takes it for corrupted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_inversion import ARCHITECTURE, corrupt, stated

from rgi.errors import InputError
from rgi.interruption import Interrupted, StopRequest
from rgi.inversion import METHODS, Checkpoint, invert, invert_grid
from rgi.inversion.areas import area, found_mask, regular_part, widened
from rgi.inversion.descent import finish, search
from rgi.inversion.memory import Batch
from rgi.inversion.rounds import finish_by_rounds
from rgi.inversion.start import start_latents
from rgi.models import Generator
from rgi.models.frozen import frozen

METHOD = replace(
    METHODS["rgi-profile"],
    pool=64,
    batch=8,
    stages=((6, 4), (1, 20)),
    escapes=(),
    area_masked=True,
    explore_lam=0.5,
    explore_critic_weight=0.0,
    settle=0.0,
    tolerance=0.0,
)
FIELDS = ("restored", "score", "latent", "objective", "passes")
REACHES = [(8, 1), (16, 1), (32, 3), (64, 6)]


@pytest.fixture(scope="module")
def generator():
    return Generator(ARCHITECTURE, seed=1).eval()


@pytest.fixture(scope="module")
def images(generator):
    return corrupt(generator)[0]


@pytest.fixture(scope="module")
def clean(generator):
    return corrupt(generator)[2]


def most_around(marked, reach):
    """Where most of the neighbourhood is marked, pixel by pixel; beyond the border is nothing."""
    most = np.zeros_like(marked)
    for row, column in np.ndindex(marked.shape):
        rows = slice(max(row - reach, 0), row + reach + 1)
        around = marked[rows, max(column - reach, 0) : column + reach + 1]
        most[row, column] = 2 * around.sum() > around.size
    return most


def some_masks(side, upper=1.05):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(side)) * upper


@pytest.mark.parametrize(("side", "reach"), REACHES)
def test_the_regular_part_is_where_most_neighbours_are_masked(side, reach):
    masks = some_masks(side)
    for mask, found in zip(masks.numpy(), regular_part(masks).numpy(), strict=True):
        assert np.array_equal(found > 0, most_around(mask > 0.5, reach))


@pytest.mark.parametrize(("side", "reach"), REACHES)
def test_widened_is_all_that_neighbours(side, reach):
    masks = (some_masks(side) > 1.04).float()
    for mask, found in zip(masks.numpy(), widened(masks).numpy(), strict=True):
        expected = np.zeros_like(mask)
        for row, column in np.argwhere(mask > 0):
            rows = slice(max(row - reach, 0), row + reach + 1)
            expected[rows, max(column - reach, 0) : column + reach + 1] = 1
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(("side", "reach"), REACHES)
def test_an_area_is_filled_until_nothing_more_is_surrounded(side, reach):
    masks = some_masks(side, 1.6)  # two of three pixels
    masks[0, 5 * side // 8 :] = masks[0, :, 5 * side // 8 :] = 0
    masks[1, :, ::3] = 0
    found = area(masks)
    assert found[0].any() and not found[2].any()
    for mask, one in zip(masks.numpy(), found.numpy(), strict=True):
        marked = mask > 0.5
        mostly = (most_around(marked, reach) & marked).sum() > marked.sum() / 2
        filled, last = marked, None
        while last is None or (filled != last).any():
            filled, last = filled | most_around(filled, reach), filled
        whole = most_around(filled, reach)
        assert np.array_equal(one > 0, whole & mostly & (whole.mean() < 0.5))


def test_a_hole_in_a_block_is_filled_and_its_outside_is_not():
    mask = torch.zeros(1, 16, 16)
    mask[0, 5:11, 5:11] = 1
    mask[0, 7:9, 7:10] = 0
    found = area(mask)
    assert found[0, 6:10, 6:10].all()
    assert not (found[0] * (torch.arange(16) < 5)).any()
    assert found.sum() <= 36


def test_what_covers_most_of_an_image_was_not_fitted():
    for rows, believed in ((7, True), (8, False), (9, False)):
        mask = torch.zeros(1, 16, 16)
        mask[0, :rows] = 1
        assert bool(area(mask).any()) == believed


@pytest.mark.parametrize("kind", ["stroke", "stroke on the border", "single pixels", "nothing"])
def test_what_is_thin_or_scattered_has_no_area(kind):
    mask = torch.zeros(1, 16, 16)
    if kind == "stroke":
        mask[0, 4, 1:15] = 1
    if kind == "stroke on the border":
        mask[0, 0] = 1
    if kind == "single pixels":
        mask = (torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.25).float()
    assert not area(mask).any()


def opposite_block(images):
    """The images with a block that no generator makes, whose middle looks like the generator's."""
    masks = torch.zeros_like(images[:, 0])
    masks[:, 1:6, 1:6] = 1
    masks[:, 3, 3] = 0
    return torch.where(masks[:, None] > 0, -images.sign(), images), masks


def test_an_area_costs_nothing_and_elsewhere_m_is_at_its_best(images, generator):
    """Against a search over a grid of masks, pixel by pixel."""
    _, masks = opposite_block(images)
    problem = replace(stated(images, METHOD, 0.3), given=masks)
    made = generator(torch.randn(5, 8, generator=torch.Generator().manual_seed(2))).detach()
    levels = torch.linspace(0, 1, 1001)[:, None, None, None]
    error = (images - made).square().sum(1)
    costs = ((1 - levels).square() * error + 0.3 * levels).min(0).values
    expected = (costs * (1 - masks)).sum((1, 2))
    assert torch.allclose(problem.objective(made, masks), expected, rtol=1e-4)
    best = problem.best_mask(made)
    assert (best[masks > 0] == 1).all() and (best[masks == 0] < 1).all()


def explored(images, row, generator):
    """One image's problem, its descent before the last stage, and the area of its mask there."""
    one, render = stated(images[[row]], METHOD, 0.02), frozen(generator)
    exploring, index = one.exploring(), torch.tensor([row])
    starts = start_latents(exploring, generator, render, index, 0, Batch(8))
    rows = search(exploring, render, starts, ((6, 4),), Batch(8)).rows
    return one, rows, area(exploring.best_mask(render(rows.latent)))


def test_the_last_stage_takes_the_area_for_corrupted(clean, generator):
    """Against the same put together by hand, image by image."""
    images, render, held = opposite_block(clean)[0], frozen(generator), 0
    found = invert(images, generator, METHOD, 0.02)
    for row in range(len(images)):
        one, first, whole = explored(images, row, generator)
        held += int(whole.any())
        filled = replace(one, given=whole)
        start = first.latent[:, None]
        last = search(filled, render, start, ((1, 20),), Batch(8), known=first).rows.latent
        assert torch.equal(found.latent[[row]], last)
        score = one.best_mask(render(last)).maximum(whole)
        assert torch.equal(found.score[[row]], score)
        assert torch.equal(found.objective[[row]], one.robust_fidelity(render(last)))
    assert held > 0


def test_where_a_mask_has_no_area_nothing_changes(images, generator):
    without = replace(METHOD, area_masked=False)
    one, other = (invert(images, generator, method, 0.02) for method in (METHOD, without))
    same = [
        all(torch.equal(getattr(one, name)[row], getattr(other, name)[row]) for name in FIELDS)
        for row in range(len(images))
    ]
    assert same == [not explored(images, row, generator)[2].any() for row in range(len(images))]
    assert any(same)


@pytest.mark.parametrize("name", ["rgi-profile", "r-rgi-profile", "robust-ilo"])
@pytest.mark.parametrize(("explore_lam", "settle"), [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5)])
@pytest.mark.parametrize("escapes", [(), ((3, 4),)])
def test_a_grid_equals_its_lambdas_and_images_one_by_one(
    name, explore_lam, settle, escapes, clean, generator
):
    settings = {
        field: getattr(METHOD, field)
        for field in ("pool", "batch", "stages", "explore_critic_weight", "area_masked")
    }
    method = replace(
        METHODS[name],
        **settings,
        critic_weight=0.0,
        explore_lam=explore_lam,
        settle=settle,
        escapes=escapes,
        weights_iterations=3 if METHODS[name].weights_iterations else 0,
        rounds=tuple((layer, 3) for layer, _ in METHODS[name].rounds),
    )
    images, lams, held = opposite_block(clean)[0], [0.02, 0.5], 0
    for lam, found in zip(lams, invert_grid(images, generator, method, lams), strict=True):
        alone = invert(images, generator, method, lam)
        one = invert(images[[1]], generator, method, lam, index=[1])
        held += int((one.score == 1).any())  # M is 1 in an area alone
        for field in FIELDS:
            assert torch.equal(getattr(found, field), getattr(alone, field))
            assert torch.equal(getattr(found, field)[[1]], getattr(one, field))
    assert held > 0


@pytest.mark.parametrize("preset", ["r-rgi-profile", "robust-ilo"])
def test_weights_and_features_do_not_see_what_lies_in_the_area(preset, clean, generator):
    """Other pixels there, whose area is the same, change nothing."""
    method = replace(
        METHODS[preset],
        **{name: getattr(METHOD, name) for name in ("pool", "batch", "stages", "explore_lam")},
        escapes=(),
        critic_weight=0.0,
        explore_critic_weight=0.0,
        weights_iterations=5 if preset == "r-rgi-profile" else 0,
        weights_learning_rate=0.01,
        rounds=tuple((layer, 5) for layer, _ in METHODS[preset].rounds),
    )
    images = opposite_block(clean)[0]
    row, whole = next(
        (row, whole)
        for row in range(len(images))
        if (whole := explored(images, row, generator)[2]).any()
    )
    problem, rows, _ = explored(images, row, generator)
    problem = replace(problem, method=method, given=whole)
    others = replace(problem, images=problem.images * (1 - 2 * whole[:, None]))
    ending = finish_by_rounds if method.rounds else finish
    descents = search(problem, frozen(generator), rows.latent[:, None], ((1, 5),), Batch(8))
    one, other = (
        ending(part, generator, frozen(generator), descents, Batch(8)).restored
        for part in (problem, others)
    )
    assert torch.equal(one, other)
    free = replace(others, given=torch.zeros_like(whole))
    assert not torch.equal(
        one, ending(free, generator, frozen(generator), descents, Batch(8)).restored
    )


def test_an_inversion_stopped_after_every_step_keeps_its_areas(clean, generator, tmp_path):
    images, stops = opposite_block(clean)[0], 0
    expected = invert(images, generator, METHOD, 0.02)
    assert (expected.score == 1).any()
    while True:
        checkpoint = Checkpoint(tmp_path / "kept.pt", seconds=0, stop=AtOnce())
        try:
            (found,) = invert_grid(images, generator, METHOD, [0.02], checkpoint=checkpoint)
            break
        except Interrupted:
            stops += 1
    assert stops > 5
    assert all(torch.equal(getattr(found, name), getattr(expected, name)) for name in FIELDS)


class AtOnce(StopRequest):
    """Asks for the end at every step."""

    def __bool__(self):
        return True


def test_several_descents_vote_on_the_area(images, generator):
    problem, render = stated(images, METHOD, 0.02), frozen(generator)
    latents = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(4))
    found = found_mask(problem, render, latents, Batch(4))
    masks = [problem.best_mask(render(z)) for z in latents.unbind(1)]
    assert torch.allclose(found, sum(masks) / 3, atol=1e-6)
    method = replace(METHOD, stages=((6, 4), (3, 20)))
    together = invert(images, generator, method, 0.02)
    alone = invert(images[[2]], generator, method, 0.02, index=[2])
    assert all(torch.equal(getattr(together, n)[[2]], getattr(alone, n)) for n in FIELDS)


def test_an_area_needs_a_mask_that_is_eliminated_and_found_before():
    with pytest.raises(InputError, match="area_masked needs a method that eliminates its mask"):
        replace(METHODS["rgi"], area_masked=True)
    with pytest.raises(InputError, match="without feature_weight; set area_masked: false"):
        replace(METHOD, feature_weight=1.0)
    with pytest.raises(InputError, match="ramp_down with explore_lam, escapes or area_masked"):
        replace(METHOD, solver="adam", ramp_down=0.5, explore_lam=0.0)
    with pytest.raises(InputError, match="a stage before the last one, or escapes"):
        replace(METHOD, stages=((1, 20),), explore_lam=0.0)
