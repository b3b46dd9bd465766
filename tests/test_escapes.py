"""Escapes: a mask is held, then eliminated; they only ever lower the objective."""

from dataclasses import replace

import pytest
import torch
from small_inversion import ARCHITECTURE, corrupt, stated

from rgi.errors import InputError
from rgi.inversion import METHODS, descent, escapes, invert, invert_grid
from rgi.inversion.areas import regular_part, widened
from rgi.inversion.escapes import escape
from rgi.inversion.memory import Batch
from rgi.models import Discriminator, Generator
from rgi.models.frozen import frozen

METHOD = replace(
    METHODS["rgi-profile"],
    pool=64,
    batch=8,
    stages=((6, 4), (1, 20)),
    escapes=((10, 20), (20, 10)),
    explore_lam=0.1,
    explore_critic_weight=0.0,
    settle=0.0,
    tolerance=0.0,
)
FIELDS = ("restored", "score", "latent", "objective", "passes")


@pytest.fixture(scope="module")
def generator():
    return Generator(ARCHITECTURE, seed=1).eval()


@pytest.fixture(scope="module")
def images(generator):
    return corrupt(generator)[0]


def begun(problem, render, each, seed=1):
    """Descents that know something of their objectives: the image's own beside each other."""
    latents = torch.randn(5, each, 8, generator=torch.Generator().manual_seed(seed))
    return descent.search(problem, render, latents, ((each, 3),), Batch(8), keep=each).rows


def test_an_escape_descends_with_a_mask_and_without_and_keeps_what_is_lower(images, generator):
    """Against the same put together by hand, image by image."""
    method = replace(METHOD, escapes=((10, 20),))
    problem, render = stated(images, method, 0.02), frozen(generator)
    rows = begun(problem, render, 1, seed=0)
    found, passes = escape(problem, render, rows, Batch(8))
    assert (passes == 30).all()
    left = 0
    for row in range(5):
        one = stated(images[[row]], method, 0.02)
        latent = rows.latent[[row]]
        mask = widened(regular_part(one.best_mask(render(latent))))
        given = replace(METHODS["yeh-with-mask"], critic_weight=0.0, solver="lbfgs", batch=8)
        held = replace(one, method=given, given=mask)
        known = rows.take(torch.tensor([row]))
        first = descent.search(held, render, latent[None], ((1, 10),), Batch(8), known=known)
        start = first.rows.latent[None]
        tried = descent.search(one, render, start, ((1, 20),), Batch(8), known=known)
        before, after = (one.robust_fidelity(render(z)) for z in (latent, tried.rows.latent))
        expected = tried.rows if after < before else known
        left += int(after < before)
        assert torch.equal(found.latent[[row]], expected.latent)
        assert torch.equal(found.steps[[row]], expected.steps)
    assert left > 0


def test_escapes_never_raise_the_objective(images, generator):
    render, last = frozen(generator), None
    for count in range(4):
        method = replace(METHOD, escapes=((4, 2),) * count)
        problem = stated(images, method, 0.02)
        found, _ = escape(problem, render, begun(problem, render, 2), Batch(8))
        latents = found.latent.view(5, 2, -1)
        objective = torch.stack([problem.robust_fidelity(render(z)) for z in latents.unbind(1)])
        assert last is None or (objective <= last).all()
        last = objective


@pytest.mark.parametrize("explore_lam", [0.0, 0.1])
@pytest.mark.parametrize("stages", [((6, 4), (1, 20)), ((6, 4), (4, 6), (2, 20))])
def test_a_grid_equals_its_lambdas_one_by_one_to_the_last_bit(
    explore_lam, stages, images, generator
):
    method = replace(METHOD, explore_lam=explore_lam, stages=stages, tolerance=0.05)
    lams = [0.02, 0.5]
    for lam, found in zip(lams, invert_grid(images, generator, method, lams), strict=True):
        alone = invert(images, generator, method, lam)
        assert all(torch.equal(getattr(found, n), getattr(alone, n)) for n in FIELDS)
        assert (found.passes <= sum(s * n for s, n in stages) + 60 * stages[-1][0]).all()


def test_an_image_alone_escapes_as_among_others(images, generator):
    method = replace(METHOD, tolerance=0.05)
    together = invert(images, generator, method, 0.02)
    alone = invert(images[[3]], generator, method, 0.02, index=[3])
    assert all(torch.equal(getattr(together, n)[[3]], getattr(alone, n)) for n in FIELDS)


def test_escapes_need_a_mask_that_is_eliminated():
    with pytest.raises(InputError, match="escapes need a method that eliminates its mask"):
        replace(METHODS["rgi"], escapes=((10, 10),))
    with pytest.raises(InputError, match="without feature_weight"):
        replace(METHOD, feature_weight=1.0)
    with pytest.raises(InputError, match="ramp_down with explore_lam, escapes"):
        replace(METHOD, explore_lam=0.0, solver="adam", ramp_down=0.5)


@pytest.mark.parametrize("pair", [(0, 10), (10,), (), (10, 10, 10)])
def test_an_escape_has_two_numbers_of_steps(pair):
    with pytest.raises(InputError, match="pairs of steps, each from 1"):
        replace(METHOD, escapes=(pair,))


@pytest.mark.parametrize(
    "explored", [{}, {"explore_lam": 0.0}, {"explore_lam": 0.0, "stages": ((1, 20),)}]
)
def test_with_the_mask_given_the_latent_moves(explored, images, generator, monkeypatch):
    """Also where no stage goes before: then the mask is that of the starts."""
    moved = []
    original = escapes.search

    def watched(problem, render, latents, *rest, **options):
        found = original(problem, render, latents, *rest, **options)
        if problem.method.needs_mask:
            moved.append(float((found.rows.latent - latents[:, 0]).abs().max()))
        return found

    monkeypatch.setattr(escapes, "search", watched)
    invert(images, generator, replace(METHOD, **explored), 0.05)
    assert len(moved) == 2
    assert min(moved) > 0.01


def test_the_critic_has_a_say_in_what_is_lower(images, generator, monkeypatch):
    """Tried latents are kept where the objective says so, also where the fidelity would not."""
    critic = Discriminator(ARCHITECTURE, seed=2).eval()
    method = replace(METHOD, critic_weight=30.0, escapes=((1, 1),))
    problem, render = stated(images, method, 0.02, critic), frozen(generator)
    before, tried = (begun(problem, render, 1, seed=seed) for seed in (1, 2))
    nothing = torch.zeros(5, dtype=torch.long)
    monkeypatch.setattr(escapes, "_try", lambda *_: (tried, nothing))
    found, _ = escape(problem, render, before, Batch(8))

    def lower(measure):
        first, second = (measure(render(rows.latent)) for rows in (before, tried))
        return second < first

    expected = lower(lambda restored: problem.objective(restored, problem.given))
    assert not torch.equal(expected, lower(problem.robust_fidelity))
    latents = torch.where(expected[:, None], tried.latent, before.latent)
    assert torch.equal(found.latent, latents)
