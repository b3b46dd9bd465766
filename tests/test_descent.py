"""Stages, grids of lambdas, early stop, memory: what is computed together equals it alone."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from small_inversion import ARCHITECTURE, corrupt, stated

from rgi.errors import InputError
from rgi.inversion import METHODS, descent, invert, invert_grid
from rgi.inversion.areas import area, found_mask
from rgi.inversion.memory import Batch, fitting_batch
from rgi.inversion.objective import pixel_error, profile_fidelity
from rgi.inversion.problem import Problem
from rgi.inversion.start import start_latents
from rgi.models import Discriminator, Generator
from rgi.models.frozen import frozen, frozen_critic

STAGES = ((6, 4), (2, 10), (1, 40))
EXPLORED = {
    "explore_critic_weight": 0.0,
    "pool": 64,
    "stages": STAGES,
    "escapes": (),
    "area_masked": False,
    "explore_lam": 0.1,
    "settle": 0.0,
    "batch": 8,
}
PROFILE = replace(METHODS["rgi-profile"], **EXPLORED)
CPU = torch.device("cpu")
FIELDS = ("restored", "score", "latent", "objective", "passes")


@pytest.fixture(scope="module")
def generator():
    return Generator(ARCHITECTURE, seed=1).eval()


@pytest.fixture(scope="module")
def discriminator():
    return Discriminator(ARCHITECTURE, seed=2).eval()


@pytest.fixture(scope="module")
def images(generator):
    return corrupt(generator)[0]


@pytest.mark.parametrize("shared", [{"explore_lam": 0.0}, {"settle": 0.0}, {"settle": 0.5}])
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
@pytest.mark.parametrize("last", [(1, 40), (2, 20)])
def test_a_grid_equals_its_lambdas_one_by_one_to_the_last_bit(
    shared, tolerance, last, images, generator
):
    stages = (*STAGES[:-1], last)
    method = replace(PROFILE, stages=stages, tolerance=tolerance, **shared)
    lams = [0.02, 0.1, 0.5]
    for lam, found in zip(lams, invert_grid(images, generator, method, lams), strict=True):
        alone = invert(images, generator, method, lam)
        assert all(torch.equal(getattr(found, n), getattr(alone, n)) for n in FIELDS)


def test_a_learned_mask_explores_too_and_then_starts_anew(images, generator):
    stages, lams = ((4, 10), (1, 20)), [0.02, 0.5]
    method = replace(METHODS["rgi"], critic_weight=0.0, pool=64, stages=stages, explore_lam=0.1)
    for lam, found in zip(lams, invert_grid(images, generator, method, lams), strict=True):
        alone = invert(images, generator, method, lam)
        assert all(torch.equal(getattr(found, n), getattr(alone, n)) for n in FIELDS)
        assert (found.passes == 4 * 10 + 20).all()


def test_without_steps_after_the_exploration_lambda_has_but_its_mask(images, generator):
    """The support of the closed form, from which latent, mask and weights go on together."""
    explored = replace(METHODS["rgi"], critic_weight=0.0, pool=64, stages=((4, 10),))
    before = invert(images, generator, explored, 0.1)
    change = {"variables": ("latent", "mask", "weights"), "weights_iterations": 1}
    stages = (*explored.stages, (1, 0))
    method = replace(explored, explore_lam=0.1, **change, stages=stages)
    after = invert(images, generator, method, 0.02)
    # Adam's first step moves a variable by no more than its rate, 0.1.
    assert ((after.latent - before.latent).abs() <= 0.1 + 1e-6).all()
    error = pixel_error(images - before.restored, "l2")
    assert torch.equal(after.score.round(), (error > 0.02 / 2).to(after.score.dtype))
    assert (after.passes == 4 * 10 + 1).all()
    assert after.seconds.isfinite().all()


@pytest.mark.parametrize(("settle", "shared"), [(0.0, 0), (0.25, 10), (0.26, 10)])
def test_of_a_grid_the_exploration_is_computed_once(settle, shared, images, generator, monkeypatch):
    rows = []
    original = descent.take_passes

    def counting(problem, render, some, count):
        rows.append(count * len(some.latent))
        original(problem, render, some, count)

    monkeypatch.setattr(descent, "take_passes", counting)
    escapes = ((3, 2), (5, 7))
    method = replace(PROFILE, tolerance=0.0, escapes=escapes, area_masked=True, settle=settle)
    invert_grid(images, generator, method, [0.02, 0.1, 0.5])
    # Batches of 8 rows: 30 rows x 4 passes, 10 x 10, 5 x 17, then 5 images settle, and each of them
    # has 3 lambdas for the rest of the 40.
    assert sum(rows) == 8 * (4 * 4 + 2 * 10 + 17 + shared + 2 * (40 - shared))


@pytest.mark.parametrize("settle", [0.0, 0.3])
def test_passes_are_those_of_all_starts(settle, images, generator):
    found = invert(images, generator, replace(PROFILE, tolerance=0.0, settle=settle), 0.1)
    assert found.passes.tolist() == [6 * 4 + 2 * 10 + 40] * 5


def test_of_several_starts_in_the_last_stage_the_lowest_objective_wins(images, generator):
    def lowest(starts):
        stages = ((6, 4), (starts, 40))
        return invert(images, generator, replace(PROFILE, stages=stages, tolerance=0.0), 0.02)

    one, four = lowest(1), lowest(4)
    assert (four.passes == 6 * 4 + 4 * 40).all()
    assert (four.objective <= one.objective * (1 + 1e-5)).all()
    assert (four.objective < one.objective * 0.99).any()


def test_the_exploration_has_a_lambda_and_a_critic_of_its_own(images, generator, discriminator):
    """Against the two parts put together by hand: the last stage has another lambda, no critic."""
    method = replace(PROFILE, explore_critic_weight=3.0)
    found = invert(images, generator, method, 0.02, discriminator=discriminator)
    first = replace(PROFILE, explore_lam=0.0, stages=STAGES[:-1], critic_weight=3.0)
    problem, render, batch = stated(images, PROFILE, 0.02), frozen(generator), Batch(8)
    exploring = stated(images, first, 0.1, frozen_critic(discriminator, CPU))
    starts = start_latents(exploring, generator, render, torch.arange(5), 0, batch)
    explored = descent.search(exploring, render, starts, STAGES[:-1], batch)
    start, known = explored.rows.latent[:, None], explored.rows
    last = descent.search(problem, render, start, STAGES[-1:], batch, known=known)
    assert torch.equal(found.latent, last.rows.latent)
    assert torch.equal(found.passes, explored.passes + last.passes)
    without = invert(images, generator, PROFILE, 0.02)
    assert not torch.equal(found.latent, without.latent)


def test_settling_is_the_last_stage_with_the_explorations_lambda(generator, discriminator):
    """Against its parts put together by hand: it has the area, but not the exploration's critic."""
    images = corrupt(generator)[2].clone()
    images[..., 1:6, 1:6] = -images[..., 1:6, 1:6].sign()
    critic, render, batch = frozen_critic(discriminator, CPU), frozen(generator), Batch(8)
    method = replace(PROFILE, explore_critic_weight=3.0, critic_weight=0.1, area_masked=True)
    method = replace(method, explore_lam=0.5, settle=0.3, tolerance=0.02)
    found = invert(images, generator, method, 0.02, discriminator=discriminator)
    exploring = stated(images, replace(method, critic_weight=3.0), 0.5, critic)
    starts = start_latents(exploring, generator, render, torch.arange(5), 0, batch)
    explored = descent.search(exploring, render, starts, STAGES[:-1], batch)
    held = area(found_mask(exploring, render, explored.rows.latent[:, None], batch))
    assert held.any()
    rows, passes = explored.rows, explored.passes
    for lam, steps, tolerance in ((0.5, 12, 0.0), (0.02, 28, 0.02)):
        last = replace(method, tolerance=tolerance)
        problem = replace(stated(images, last, lam, critic), given=held)
        there, stages = rows.latent[:, None], ((1, steps),)
        reached = descent.search(problem, render, there, stages, batch, known=rows)
        rows, passes = reached.rows, passes + reached.passes
    assert torch.equal(found.latent, rows.latent)
    assert torch.equal(found.passes, passes)


def test_settling_takes_all_its_passes_and_only_what_follows_stops_early(images, generator):
    stages = (*STAGES[:-1], (1, 100))
    method = replace(PROFILE, stages=stages, settle=0.5, tolerance=1.0)
    found = invert(images, generator, method, 0.02)
    # With this tolerance a search stops as soon as two looks can be compared.
    assert (found.passes == 6 * 4 + 2 * 10 + 50 + 20).all()


def test_settling_needs_a_lambda_to_settle_at_and_a_mask_that_is_eliminated():
    for method in (replace(PROFILE, explore_lam=0.0), replace(METHODS["rgi"], stages=STAGES)):
        with pytest.raises(InputError, match="settle needs explore_lam, and a mask that is elim"):
            replace(method, settle=0.5)
    for share in (-0.1, 1.0):
        with pytest.raises(InputError, match=f"settle {share}: allowed: from 0 to less than 1"):
            replace(PROFILE, settle=share)


def test_the_critic_has_a_say_in_which_start_goes_on(images, generator, discriminator):
    method = replace(PROFILE, explore_lam=0.0, critic_weight=30.0)
    problem, render = stated(images, method, 0.02, discriminator), frozen(generator)
    latents = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(1))
    four, one = (
        descent.search(problem, render, latents, ((4, 3),), Batch(8), keep).rows.latent
        for keep in (4, 1)
    )
    every = problem.rows(torch.arange(5).repeat_interleave(4))
    best = {}
    with torch.no_grad():
        restored = render(four)
        best["objective"] = every.objective(restored, every.given).view(5, 4).argmin(1)
        best["fidelity"] = every.robust_fidelity(restored).view(5, 4).argmin(1)
    assert not torch.equal(best["objective"], best["fidelity"])
    assert torch.equal(one, four.view(5, 4, -1)[torch.arange(5), best["objective"]])


def test_halving_keeps_the_starts_with_the_lowest_objective(images, generator):
    """Against a loop: every start alone, sorted after each stage."""
    method = replace(PROFILE, stages=((4, 6), (2, 10), (1, 20)), explore_lam=0.0, tolerance=0.0)
    render = frozen(generator)
    problem = stated(images[:1], method, 0.1)
    latents = start_latents(problem, generator, render, torch.arange(1), 0, Batch(8))[0]
    alone = [descent.begin(problem, render, z[None, None], Batch(1)) for z in latents]
    for starts, steps in method.stages:
        alone = sorted(alone, key=lambda rows: float(rows.value))[:starts]
        for rows in alone:
            descent.take_passes(problem, render, rows, steps)
    found = descent.search(problem, render, latents[None], method.stages, Batch(1))
    torch.testing.assert_close(found.rows.latent, alone[0].latent, atol=1e-3, rtol=0)


def test_a_row_that_stopped_is_where_it_was_after_its_passes(images, generator):
    """Early stop only cuts a descent off, whenever the others end."""
    method = replace(PROFILE, stages=((1, 100),), explore_lam=0.0, tolerance=0.02)
    stopped = invert(images, generator, method, 0.1)
    assert stopped.passes.min() < 100
    assert len(set(stopped.passes.tolist())) > 1
    for row, passes in enumerate(stopped.passes.tolist()):
        full = replace(method, stages=((1, passes),), tolerance=0.0)
        same = invert(images[[row]], generator, full, 0.1, index=[row])
        assert torch.equal(same.restored[0], stopped.restored[row])


@pytest.mark.parametrize("lam", [0.005, 0.1])
def test_a_descent_stops_where_ten_passes_gain_little_of_what_clean_pixels_cost(
    lam, images, generator
):
    """Against the same descents, ten passes at a time, each judged by hand."""
    method = replace(PROFILE, stages=((1, 200),), explore_lam=0.0, tolerance=0.02)
    found, render = invert(images, generator, method, lam), frozen(generator)
    problem = stated(images, method, lam)
    latents = start_latents(problem, generator, render, torch.arange(5), 0, Batch(8))
    whole_objective = 0
    for row, passes in enumerate(found.passes.tolist()):
        one = problem.rows(torch.full((8,), row))
        rows = descent.begin(one, render, latents[[row]].expand(8, 1, -1), Batch(8))
        taken, gain, misfit = 0, float("inf"), 0.0
        while gain > 0.02 * misfit and taken < 200:
            before = rows.value
            descent.take_passes(one, render, rows, 10)
            gain = float((before - rows.value)[0])
            misfit = float(one.misfit(render(rows.latent), rows.mask)[0])
            taken += 10
            whole_objective += gain <= 0.02 * float(rows.value[0]) and gain > 0.02 * misfit
        assert taken == passes
    assert found.passes.min() < 200
    if lam == 0.005:
        assert whole_objective  # by the whole objective it would have stopped before


def test_what_clean_pixels_cost(images, generator):
    """Against a loop over pixels. The price of the corrupted ones does not count."""
    lam = 0.02
    problem = stated(images, PROFILE, lam)
    with torch.no_grad():
        made = generator(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)))
    found = problem.misfit(made, problem.given)
    for image, one, value in zip(images, made, found, strict=True):
        error = (image - one).square().sum(0).flatten().tolist()
        masks = [max(0.0, 1 - lam / (2 * e)) if e else 0.0 for e in error]
        expected = sum((1 - m) ** 2 * e for m, e in zip(masks, error, strict=True))
        assert float(value) == pytest.approx(expected, rel=1e-5)


def test_a_tolerance_of_zero_never_stops(images, generator):
    method = replace(PROFILE, stages=((1, 100),), explore_lam=0.0, tolerance=0.0)
    assert (invert(images, generator, method, 0.1).passes == 100).all()


def test_the_objective_told_is_equation_6(images, generator):
    found = invert(images, generator, PROFILE, 0.1)
    with torch.no_grad():
        error = pixel_error(images - generator(found.latent), "l2")
    expected = profile_fidelity(error, torch.full((5,), 0.1), "l2")
    torch.testing.assert_close(found.objective, expected, rtol=1e-3, atol=1e-4)


def test_the_profile_reaches_a_lower_objective_than_joint_adam_in_fewer_passes(images, generator):
    joint = replace(METHODS["rgi"], critic_weight=0.0, pool=64, stages=((1, 250),))
    slow = invert(images, generator, joint, 0.1)
    quick = invert(images, generator, replace(PROFILE, tolerance=0.0), 0.1)
    assert quick.passes.sum() < slow.passes.sum() / 2
    assert quick.objective.mean() < slow.objective.mean()


def test_where_memory_runs_out_between_passes_nothing_has_happened(images, generator, monkeypatch):
    method = replace(PROFILE, tolerance=0.05)
    expected = invert(images, generator, replace(method, batch=4), 0.1)
    original, failed = Problem.misfit, []

    def failing(problem, *arguments):
        if len(problem.images) > 4:
            failed.append(len(problem.images))
            raise MemoryError
        return original(problem, *arguments)

    monkeypatch.setattr(Problem, "misfit", failing)
    found = invert(images, generator, method, 0.1)
    assert failed
    assert torch.equal(found.passes, expected.passes)
    torch.testing.assert_close(found.objective, expected.objective, rtol=1e-5, atol=0)


def out_of_memory_above(rows, monkeypatch):
    """A device whose memory holds so many rows; returns the sizes of the passes that were made."""
    original, sizes = descent.take_passes, []

    def small(problem, render, some, count):
        if len(some.latent) > rows:
            raise torch.OutOfMemoryError("out of memory")
        sizes.append(len(some.latent))
        original(problem, render, some, count)

    monkeypatch.setattr(descent, "take_passes", small)
    return sizes


def test_when_memory_runs_out_fewer_rows_go_on_with_the_same_result(
    images, generator, monkeypatch, caplog
):
    whole = invert(images, generator, PROFILE, 0.1)
    sizes = out_of_memory_above(3, monkeypatch)
    halved = invert(images, generator, PROFILE, 0.1)
    assert max(sizes) == 2
    assert "going on with 2 rows at a time" in caplog.text
    torch.testing.assert_close(halved.objective, whole.objective, atol=1e-3, rtol=1e-3)


def test_when_one_row_is_too_much_the_error_says_so(images, generator, monkeypatch):
    out_of_memory_above(0, monkeypatch)
    with pytest.raises(InputError, match="memory: one image alone does not fit"):
        invert(images, generator, PROFILE, 0.1)


def test_other_errors_are_not_taken_for_lack_of_memory():
    def broken(chosen, padded):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        Batch(4).first(torch.arange(4), broken)


@pytest.mark.parametrize(
    "change",
    [
        {"solver": "lbfgs"},
        {"batch": 0},
        {"stages": ()},
        {"stages": ((1, 0),)},
        {"stages": ((2, 9), (1, 0))},
    ],
)
def test_a_method_that_contradicts_itself_cannot_be_made(change):
    with pytest.raises(InputError):
        replace(METHODS["rgi"], **change)


def test_a_rate_that_falls_over_all_stages_needs_one_descent():
    with pytest.raises(InputError, match="ramp_down with explore_lam"):
        replace(PROFILE, solver="adam", tolerance=0.0, ramp_down=0.5)


def test_the_pool_is_judged_within_the_batch_too(images, generator):
    rows = []
    render = frozen(generator)

    def watched(latent):
        rows.append(len(latent))
        return render(latent)

    problem = stated(images, PROFILE, 0.1)
    start_latents(problem, generator, watched, torch.arange(5), 0, Batch(8))
    assert set(rows) == {8}


@pytest.mark.parametrize("name", ["rgi", "r-rgi"])
def test_the_budget_bounds_the_rows_of_a_pass(name, images, generator):
    problem = stated(images, replace(METHODS[name], critic_weight=0.0, batch=1000), 0.1)
    render = frozen(generator)
    sizes = [fitting_batch(problem, generator, render, mb * 10**6).size for mb in (0, 4, 8, 10**6)]
    assert sizes[0] == 1
    assert 1 < sizes[1] < 1000
    assert sizes[2] == pytest.approx(2 * sizes[1], abs=1)
    assert sizes[3] == 1000


def test_a_critic_that_only_explores_counts_in_the_budget(images, generator, discriminator):
    def rows(**weights):
        method = replace(PROFILE, batch=1000, **weights)
        problem = stated(images, method, 0.1, discriminator)
        return fitting_batch(problem, generator, frozen(generator), 8 * 10**6).size

    assert rows(explore_critic_weight=0.3) == rows(critic_weight=0.3) < rows()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("64, 3, 64, (64, 64, 64, 32, 32)", 'replace(METHODS["l2"], stages=((1, 2),))'),
        # Here an image's own weights take far more than what they draw.
        (
            "16, 3, 64, (256, 256, 128)",
            'replace(METHODS["r-rgi"], critic_weight=0, stages=((1, 1),), weights_iterations=2)',
        ),
    ],
)
def test_a_pass_takes_no_more_than_its_budget(kind, method):
    """Peak memory of a process, where 256 rows would take far more."""
    program = f"""
import resource, sys, torch
from dataclasses import replace
from rgi.inversion import METHODS, invert
from rgi.models import Architecture, Generator
torch.set_num_threads(1)
generator = Generator(Architecture({kind}))
side = generator.resolution
images = torch.zeros(256, 3, side, side)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
method = replace({method}, pool=0, batch=256)
lam = 0.1 if method.has_lambda else None
invert(images[:1], generator, replace(method, batch=1), lam)
before = peak()
invert(images, generator, method, lam, memory=400 * 10**6)
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 100 < float(done.stdout) < 500


def test_a_log_has_a_line_per_stage_and_no_bars(images, generator, caplog, capfd):
    fine_tuned = replace(METHODS["r-rgi-profile"], weights_iterations=3)
    method = replace(fine_tuned, critic_weight=0.0, **EXPLORED, tolerance=0.0)
    with caplog.at_level("INFO", logger="rgi.inversion"):
        invert(images, generator, method, 0.1)

    assert caplog.messages == [
        "5 x 6 descents: 4 of 4 passes each",
        "5 x 2 descents: 10 of 10 passes each",
        "5 x 1 descents: 40 of 40 passes each",
        "5 images: 3 steps of fine-tuning",
    ]
    assert capfd.readouterr().err == ""
