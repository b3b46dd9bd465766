"""The two solvers, row by row: against torch's Adam, the textbook's L-BFGS and closed forms."""

from dataclasses import replace

import pytest
import torch

from rgi.inversion.adam import AdamRows, ramp
from rgi.inversion.lbfgs import MEMORY, LbfgsRows, inverse_hessian_product
from rgi.inversion.methods import METHODS

L2 = METHODS["l2"]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def lbfgs_rows(latent):
    rows, size = latent.shape
    return LbfgsRows(
        latent=latent.clone(),
        value=latent.new_full((rows,), torch.inf),
        gradient=latent.new_zeros(rows, size),
        step=latent.new_zeros(rows, size),
        steps=latent.new_zeros(rows, MEMORY, size),
        changes=latent.new_zeros(rows, MEMORY, size),
        mask=latent.new_zeros(rows, 2, 2),
    )


def descend(rows, function, passes):
    """Values at the accepted points, passes x rows."""
    values = []
    for _ in range(passes):
        latent = rows.trial()[0].requires_grad_()
        value = function(latent)
        (gradient,) = torch.autograd.grad(value.sum(), latent)
        rows.update(L2, value.detach(), (gradient,))
        values.append(rows.value.clone())
    return torch.stack(values)


def rosenbrock(latent):
    """The valley that solvers are tried on; its lowest point is (1, ..., 1)."""
    first, second = latent[:, ::2], latent[:, 1::2]
    return (100 * (second - first.square()).square() + (1 - first).square()).sum(1)


def two_loops(steps, changes, scale, vector):
    """Nocedal & Wright, algorithm 7.4, in plain numbers."""
    parts = []
    for step, change in reversed(list(zip(steps, changes, strict=True))):
        part = step @ vector / (step @ change)
        parts.append(part)
        vector = vector - part * change
    vector = scale * vector
    for step, change, part in zip(steps, changes, reversed(parts), strict=True):
        vector = vector + step * (part - change @ vector / (step @ change))
    return vector


@pytest.mark.parametrize("pairs", [0, 1, 5])
def test_the_compact_product_is_that_of_the_two_loops(pairs):
    matrix = normal(6, 6).double()
    hessian = matrix @ matrix.T + torch.eye(6)
    steps = normal(pairs, 6, seed=1).double()
    changes = steps @ hessian
    vector, scale = normal(6, seed=2).double(), 0.3
    expected = two_loops(steps, changes, scale, vector)
    size = (steps * changes).sum(1, keepdim=True).rsqrt()
    empty = torch.zeros(MEMORY - pairs, 6, dtype=torch.float64)  # oldest, not there yet
    found = inverse_hessian_product(
        torch.cat([empty, steps * size])[None],
        torch.cat([empty, changes * size])[None],
        torch.tensor([scale]).double(),
        vector[None],
    )
    torch.testing.assert_close(found[0], expected)


def test_lbfgs_ends_at_the_closed_form_of_a_quadratic():
    matrix = normal(3, 8, 8)
    hessian = matrix @ matrix.mT + torch.eye(8)
    target = normal(3, 8, seed=1)

    def quadratic(latent):
        away = latent - target
        return (away[:, None] @ hessian @ away[..., None]).flatten()

    rows = lbfgs_rows(target + 0.5 * normal(3, 8, seed=2))
    descend(rows, quadratic, 60)
    torch.testing.assert_close(rows.latent, target, atol=1e-3, rtol=0)


def test_lbfgs_follows_a_curved_valley_to_its_end():
    """In as many values and gradients as SciPy's L-BFGS-B takes, times two."""
    from scipy.optimize import minimize

    start = torch.tensor([[-1.2, 1.0, -1.2, 1.0]])

    def value_and_gradient(point):
        latent = torch.from_numpy(point)[None].requires_grad_()
        value = rosenbrock(latent).sum()
        return value.item(), torch.autograd.grad(value, latent)[0][0].numpy()

    reference = minimize(value_and_gradient, start[0].double().numpy(), jac=True, method="L-BFGS-B")
    rows = lbfgs_rows(start)
    values = descend(rows, rosenbrock, 2 * reference.nfev)
    assert reference.fun < 1e-4
    assert values[-1] < 1e-4


def test_what_a_descent_knows_spares_another_the_learning():
    """Of a quadratic with the same Hessian; as far from its end."""
    matrix = normal(3, 8, 8)
    hessian = matrix @ matrix.mT + torch.eye(8)

    def quadratic(target):
        return lambda z: ((z - target)[:, None] @ hessian @ (z - target)[..., None]).flatten()

    one, other, away = normal(3, 8, seed=1), normal(3, 8, seed=2), normal(3, 8, seed=3)
    known, new, taught = (lbfgs_rows(place + away) for place in (one, other, other))
    descend(known, quadratic(one), 40)
    taught.learn(known)
    kept = known.steps.clone()
    taught.put(torch.tensor([0]), new)
    assert torch.equal(known.steps, kept)
    taught.learn(known)
    without, with_ = (descend(rows, quadratic(other), 8)[-1] for rows in (new, taught))
    assert (with_ < without / 100).all()


def test_the_accepted_value_never_rises():
    rows = lbfgs_rows(normal(16, 8))
    values = descend(rows, lambda z: rosenbrock(z) + z.sin().sum(1), 40)
    assert (values.diff(dim=0) <= 0).all()
    assert (values[-1] < values[0] / 2).all()


def test_a_trial_point_without_a_value_is_left():
    def hole(latent):
        value = latent.square().sum(1)
        return torch.where(latent[:, 0] < 1.0, torch.nan, value)

    rows = lbfgs_rows(torch.tensor([[3.0, 1.0]]))
    values = descend(rows, hole, 40)
    assert values.isfinite().all()
    assert values[-1] < 2 and (rows.latent[:, 0] >= 1).all()
    assert rows.steps.isfinite().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_is_not_accepted(bad):
    rows = lbfgs_rows(normal(2, 8))
    descend(rows, rosenbrock, 5)
    before, pairs = rows.latent.clone(), rows.steps.clone()
    rows.update(L2, torch.zeros(2), (torch.full((2, 8), bad),))
    assert torch.equal(rows.latent, before) and torch.equal(rows.steps, pairs)
    values = descend(rows, rosenbrock, 30)
    assert (values[-1] < values[0]).all()


def test_a_rejected_point_is_learned_from_and_followed_by_a_shorter_step():
    rows = lbfgs_rows(normal(2, 8))
    descend(rows, rosenbrock, 5)
    latent, step, gradient = rows.latent.clone(), rows.step.clone(), rows.gradient.clone()
    change = 3 * step  # of positive curvature
    rows.update(L2, rows.value + 100, (gradient + change,))
    assert torch.equal(rows.latent, latent) and torch.equal(rows.gradient, gradient)
    scale = (step * change).sum(1, keepdim=True).rsqrt()
    torch.testing.assert_close(rows.steps[:, -1], step * scale)
    torch.testing.assert_close(rows.changes[:, -1], change * scale)
    assert (rows.step.norm(dim=1) <= 0.5001 * step.norm(dim=1)).all()
    assert ((rows.step * gradient).sum(1) < 0).all()


def test_what_only_rounding_tells_is_not_learned():
    rows = lbfgs_rows(normal(2, 8))
    descend(rows, rosenbrock, 5)
    pairs = rows.steps.clone()
    rows.step = 1e-6 * rows.step / rows.step.norm(dim=1, keepdim=True)
    rows.update(L2, rows.value + 1, (rows.gradient + rows.step,))
    assert torch.equal(rows.steps, pairs)


def test_a_step_is_at_most_half_as_long_as_the_latent():
    rows = lbfgs_rows(normal(3, 8))
    for _ in range(10):
        latent = rows.trial()[0].requires_grad_()
        value = -latent.square().sum(1)  # the farther the lower
        rows.update(L2, value.detach(), torch.autograd.grad(value.sum(), latent))
        assert (rows.step.norm(dim=1) <= 0.5001 * rows.latent.norm(dim=1)).all()


def test_where_the_pairs_overflow_the_step_descends_steepest():
    rows = lbfgs_rows(normal(2, 8))
    descend(rows, rosenbrock, 3)
    rows.steps[:, -1] = 1e30
    rows.update(L2, torch.full((2,), torch.nan), (rows.gradient,))
    assert rows.step.isfinite().all() and rows.step.any()
    cosine = torch.cosine_similarity(rows.step, -rows.gradient)
    torch.testing.assert_close(cosine, torch.ones(2))


def test_an_lbfgs_row_does_not_see_the_others():
    latent, others = normal(5, 8), normal(5, 8, seed=1)
    others[3] = latent[3]
    one, other = lbfgs_rows(latent), lbfgs_rows(others)
    descend(one, rosenbrock, 30)
    descend(other, rosenbrock, 30)
    assert torch.equal(one.latent[3], other.latent[3])


@pytest.mark.parametrize("ramp_down", [0.0, 0.5])
def test_adam_is_torchs_adam(ramp_down):
    """Latent and mask for 40 steps, with and without a falling rate."""
    method = replace(METHODS["rgi"], stages=((1, 40),), ramp_down=ramp_down)
    latent, mask = normal(3, 8), torch.full((3, 2, 2), 0.5)
    rows = AdamRows(
        latent=latent.clone(),
        latent_mean=torch.zeros(3, 8),
        latent_square=torch.zeros(3, 8),
        mask=mask.clone(),
        mask_mean=torch.zeros(3, 2, 2),
        mask_square=torch.zeros(3, 2, 2),
        steps=torch.zeros(3),
    )
    expected = [latent.clone().requires_grad_(), mask.clone().requires_grad_()]
    optimiser = torch.optim.Adam(expected, lr=method.learning_rate)

    def value(latent, mask):
        return rosenbrock(latent) + (mask - 0.9).square().sum((1, 2)) + latent[:, 0] * mask[:, 0, 0]

    for step in range(40):
        variables = [variable.requires_grad_() for variable in rows.trial()]
        values = value(*variables)
        rows.update(method, values, torch.autograd.grad(values.sum(), variables))
        left = 1 - step / 40
        cosine = (1 - torch.cos(torch.tensor(torch.pi * min(left / 0.5, 1)))) / 2
        optimiser.param_groups[0]["lr"] = 0.1 * (float(cosine) if ramp_down else 1)
        optimiser.zero_grad()
        value(*expected).sum().backward()
        optimiser.step()
        with torch.no_grad():
            expected[1].clamp_(0, 1)
    torch.testing.assert_close(rows.latent, expected[0].detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rows.mask, expected[1].detach(), rtol=1e-4, atol=1e-5)


def test_the_rate_falls_to_nothing_at_the_end_of_all_stages():
    method = replace(L2, stages=((4, 10), (1, 30)), ramp_down=0.5)
    rates = ramp(torch.tensor([0.0, 20.0, 30.0, 40.0]), method)
    torch.testing.assert_close(rates, torch.tensor([1.0, 1.0, 0.5, 0.0]))
