"""Known operators (CSGM, PULSE, ILO) and rounds of features: sets, layers, switching, equality."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from small_inversion import corrupt, shown

from rgi.corruption.degradations import CompressedSensing
from rgi.corruption.operators import AveragePooling, Identity, Inpainting, make_operator
from rgi.errors import InputError
from rgi.inversion import METHODS, invert
from rgi.inversion.methods import configured
from rgi.inversion.problem import Problem
from rgi.inversion.projected import ProjectedRows, onto_l1_ball, onto_l2_ball, onto_sphere
from rgi.models import Architecture, Generator
from rgi.models.frozen import frozen
from rgi.models.perceptual import perceptual_network

ARCHITECTURE = Architecture(resolution=16, channels=1, latent_dim=8, widths=(16, 12, 8))
CSGM = replace(METHODS["csgm"], pool=16, stages=((1, 60),), batch=5)
ILO = replace(METHODS["ilo-mse"], pool=16, stages=((1, 20),), rounds=((1, 20), (3, 20)), batch=5)
OPERATORS = {
    "pooling": AveragePooling(4),
    "projections": make_operator(CompressedSensing(fraction=0.25), (1, 16, 16), [0]),
    "identity": Identity(),
}


@pytest.fixture(scope="module")
def generator():
    return Generator(ARCHITECTURE, seed=1).eval()


@pytest.fixture(scope="module")
def clean():
    """Images of another generator: no latent of ours makes them."""
    with torch.no_grad():
        other = Generator(ARCHITECTURE, seed=4).eval()
        return other(torch.randn(5, 8, generator=torch.Generator().manual_seed(3)))


def solve(images, generator, method, operator):
    return invert(operator.forward(images), generator, method, operator=operator)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("radius", [0.3, 1.0, 100.0])
def test_a_projection_onto_the_l1_ball_is_the_nearest_point_that_scipy_finds(radius):
    points = normal(4, 5)
    found = onto_l1_ball(points, radius)
    assert (found.abs().sum(1) <= radius + 1e-5).all()
    for row, point in enumerate(points.double().numpy()):
        # With p = u - v, u and v not negative, the ball is a polytope.
        nearest = minimize(
            lambda uv, point=point: ((uv[:5] - uv[5:] - point) ** 2).sum(),
            np.zeros(10),
            bounds=[(0, None)] * 10,
            constraints={"type": "ineq", "fun": lambda uv: radius - uv.sum()},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        ).x
        np.testing.assert_allclose(found[row], nearest[:5] - nearest[5:], atol=1e-4)


@pytest.mark.parametrize("project", [onto_l1_ball, onto_l2_ball])
def test_no_point_of_the_ball_is_nearer_than_the_projection(project):
    points, order = normal(3, 2) * 2, 1 if project is onto_l1_ball else 2
    axis = torch.linspace(-1, 1, 401)
    grid = torch.cartesian_prod(axis, axis)
    grid = grid[grid.norm(p=order, dim=1) <= 1]
    nearest = torch.cdist(points, grid).min(1).values
    distance = (points - project(points, 1.0)).norm(dim=1)
    assert (distance <= nearest + 1e-5).all()
    torch.testing.assert_close(distance, nearest, atol=0.01, rtol=0)


@pytest.mark.parametrize("project", [onto_l1_ball, onto_l2_ball])
def test_points_within_the_ball_stay_where_they_are(project):
    points = normal(4, 6) * 0.01
    torch.testing.assert_close(project(points, 1.0), points)
    torch.testing.assert_close(project(torch.zeros(1, 6), 1.0), torch.zeros(1, 6))


def test_the_sphere_has_the_radius_of_the_root_of_the_dimension():
    points = normal(4, 9)
    found = onto_sphere(points)
    torch.testing.assert_close(found.norm(dim=1), torch.full((4,), 3.0))
    torch.testing.assert_close(found / 3, points / points.norm(dim=1, keepdim=True))


def test_latents_of_pulse_stay_on_the_sphere(clean, generator):
    """After every step, and what is returned."""
    method = replace(METHODS["pulse"], stages=((1, 15),), batch=5)
    operator = AveragePooling(4)
    found = solve(clean, generator, method, operator)
    radius = torch.full((5,), 8**0.5)
    torch.testing.assert_close(found.latent.norm(dim=1), radius)
    nothing = torch.zeros(5)
    given = torch.zeros(5, 4, 4)
    problem = Problem(method, None, operator.forward(clean), nothing, given, operator=operator)
    render = frozen(generator)
    rows = ProjectedRows.begin(problem, render, 3 * normal(5, 8))
    for _ in range(15):
        point, mask = rows.trial()
        torch.testing.assert_close(point.norm(dim=1), radius)
        value = problem.objective(render(point.requires_grad_()), mask)
        rows.update(method, value.detach(), torch.autograd.grad(value.sum(), [point]))


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_ilo_fits_what_is_observed_better_than_csgm_at_equal_passes(operator, clean, generator):
    csgm, ilo = (solve(clean, generator, method, operator) for method in (CSGM, ILO))
    assert torch.equal(csgm.passes, ilo.passes)
    assert (ilo.objective < csgm.objective).all()


def test_the_objective_told_is_the_error_of_what_is_observed(clean, generator):
    for method in (CSGM, ILO):
        operator = AveragePooling(4)
        found = solve(clean, generator, method, operator)
        away = (operator.forward(clean) - operator.forward(found.restored)).square().sum((1, 2, 3))
        torch.testing.assert_close(found.objective, away)


def test_a_round_starts_where_the_last_one_ended(clean, generator):
    """One pass of features costs nothing and changes nothing: the lowest point is its start."""
    shorter = replace(CSGM, stages=((1, 20),), ramp_down=0.0)
    rounds = replace(ILO, rounds=((2, 1),), ramp_down=0.0)
    before = solve(clean, generator, shorter, Identity())
    after = solve(clean, generator, rounds, Identity())
    assert torch.equal(before.latent, after.latent)
    torch.testing.assert_close(after.restored, before.restored)
    assert (after.passes == before.passes + 1).all()


def test_a_round_never_raises_the_objective(clean, generator):
    values = [
        solve(clean, generator, replace(ILO, rounds=ILO.rounds[:count]), Identity()).objective
        for count in (1, 2)
    ]
    assert (values[1] <= values[0]).all()


@pytest.mark.parametrize("ball", ["l1", "l2"])
def test_features_keep_to_the_ball_around_where_their_round_began(ball, clean, generator):
    """The last layer's features decide the image: those of a descent without rounds are known."""
    alone = replace(CSGM, stages=((1, 20),))
    radius = 0.05
    method = replace(ILO, rounds=((3, 30),), ball=ball, radius=radius, learning_rate=0.3)
    nothing = torch.zeros(5), torch.zeros(5, 16, 16), None
    problem = Problem(method.in_round(3, 30), None, clean, *nothing, Identity())
    render = frozen(generator)
    with torch.no_grad():
        begun = render[:3](solve(clean, generator, alone, Identity()).latent)
    rows = ProjectedRows.begin(problem, render[3:], begun)
    for _ in range(30):
        features, mask = rows.trial()
        away = (features - begun).abs()
        size = away.mean((1, 2, 3)) if ball == "l1" else away.square().mean((1, 2, 3)).sqrt()
        assert (size <= radius * (1 + 1e-4)).all()
        value = problem.objective(render[3:](features.requires_grad_()), mask)
        rows.update(method, value.detach(), torch.autograd.grad(value.sum(), [features]))
    assert (size > 0.9 * radius).all()  # the ball was in the way


def test_a_smaller_ball_keeps_nearer_to_what_the_generator_makes(clean, generator):
    errors = [
        solve(clean, generator, replace(ILO, radius=radius), Identity()).objective.sum()
        for radius in (0.01, 0.1, 0.0)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_a_round_gives_way_where_the_objective_flattens_each_image_by_itself(clean, generator):
    flat = replace(ILO, stages=((1, 100),), rounds=((1, 100), (3, 100)), tolerance=0.03)
    found = solve(clean, generator, flat, Identity())
    assert (found.passes < 300).all()
    assert len(set(found.passes.tolist())) > 1
    alone = invert(clean[3:4], generator, flat, operator=Identity(), index=[3])
    assert torch.equal(alone.restored[0], found.restored[3])
    assert alone.passes[0] == found.passes[3]


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_an_image_alone_equals_itself_among_others_to_the_last_bit(operator, clean, generator):
    method = replace(ILO, ball="l1", radius=0.05)
    together = solve(clean, generator, method, operator)
    for row in (0, 4):
        seen = operator.forward(clean)[row : row + 1]
        alone = invert(seen, generator, method, operator=operator, index=[row])
        assert torch.equal(alone.restored[0], together.restored[row])
        assert torch.equal(alone.objective[0], together.objective[row])


def test_robust_ilo_finds_the_mask_and_fits_the_rest_better_than_the_latent_alone(generator):
    images, mask, _ = corrupt(Generator(small(), seed=1).eval())
    own = Generator(small(), seed=5).eval()
    robust = replace(METHODS["robust-ilo"], explore_critic_weight=0.0, pool=64, radius=0.0)
    robust = replace(robust, stages=((4, 8), (1, 40)), rounds=((1, 20), (2, 20)))
    latent = replace(robust, variables=("latent",), rounds=(), ramp_down=0.0)
    latent = replace(latent, stages=((4, 8), (1, 80)))
    found, alone = (invert(images, own, method, 0.1) for method in (robust, latent))
    assert 0 <= found.score.min() <= found.score.max() <= 1
    assert (found.objective < alone.objective).all()


def small():
    return Architecture(resolution=8, channels=1, latent_dim=8, widths=(16, 12))


def test_the_perceptual_term_under_a_mask_is_the_reference_s(random_backbone, clean):
    """LPIPS(M I + M^C G, G) with M = 1 on observed pixels, counted once a number observed."""
    mask = torch.rand(5, 16, 16, generator=torch.Generator().manual_seed(6)) < 0.3
    method = replace(METHODS["ilo-lpips"], perceptual_weight=2.0)
    seen, network = shown(method, clean, mask), perceptual_network()
    empty = torch.zeros(5, 16, 16)
    operator = Inpainting(mask)
    problem = Problem(method, None, seen["images"], torch.zeros(5), empty, None, operator, network)
    images = normal(5, 1, 16, 16).clamp(-1, 1)
    composite = torch.where(mask[:, None], images, clean)
    expected = 2 * 256 * network(composite, images)
    torch.testing.assert_close(problem.objective(images, empty), expected)


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        ("ilo", {"rounds": []}, "features are variables, but rounds is empty"),
        ("csgm", {"rounds": [[1, 9]]}, "rounds are set, but its features are no variables"),
        ("ilo", {"rounds": [[2, 9], [1, 9]]}, "layers in rising order"),
        ("ilo", {"rounds": [[1, 9], [1, 9]]}, "layers in rising order"),
        ("ilo", {"rounds": [[0, 9]]}, "each from 1"),
        ("csgm", {"radius": 0.1}, "radius is of features"),
        ("csgm", {"fidelity_weight": 0}, "fidelity_weight is only for"),
        ("rgi", {"perceptual_weight": 1}, "perceptual_weight needs a method with a known operator"),
        ("csgm", {"feature_weight": 1}, "neither a mask nor feature_weight"),
        ("csgm", {"solver": "adam", "sphere": True}, "sphere needs solver projected-adam"),
    ],
)
def test_settings_that_contradict_each_other_are_named(preset, settings, message):
    with pytest.raises(InputError, match=message):
        configured(preset, settings)


def test_a_layer_that_the_generator_has_not_is_named(clean, generator):
    with pytest.raises(InputError, match="the generator's layers are 1 to 3"):
        solve(clean, generator, replace(ILO, rounds=((4, 9),)), Identity())
