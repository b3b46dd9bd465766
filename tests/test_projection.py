"""Energy-based projection: closed forms, one image at a time, stopping, masks, scores."""

import itertools

import numpy as np
import pytest
import torch
from short_autoencoder import architecture
from skimage.metrics import structural_similarity
from sklearn.linear_model import Lasso
from torch import nn

from rgi.errors import InputError
from rgi.models import Autoencoder
from rgi.models.autoencoder import KINDS, latent_divergence
from rgi.projection import METHODS, Method, project
from rgi.projection.energy import energy
from rgi.projection.methods import GRADIENT_SCORES, SETTINGS, configured

SIDE = 8


class Linear(Autoencoder):
    """f(x) = P x, P an orthogonal projector: of rank 20 out of 64 pixels, grey in its range."""

    def __init__(self, kind="l2-ae", log_gamma=0.0):
        super().__init__(architecture(kind, resolution=SIDE, widths=(8,)))
        random = torch.Generator().manual_seed(0)
        columns = torch.cat([torch.ones(64, 1), torch.randn(64, 19, generator=random)], dim=1)
        basis = torch.linalg.qr(columns)[0]
        self.register_buffer("projector", basis @ basis.T)
        self.training_losses.zero_()
        if kind == "gamma-vae":
            nn.init.constant_(self.log_gamma, log_gamma)

    def forward(self, images):
        return (images.flatten(1) @ self.projector).view_as(images)


def drawn(count=3, side=SIDE, seed=0):
    """Images in [-1, 1] whose projections stay there."""
    return (
        torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) * 0.8 - 0.4
    )


def brightness(images):
    return (images + 1) / 2


def untrained(kind, side=16):
    """Of no use but as a function of its images; nothing is ever below its training losses."""
    autoencoder = Autoencoder(architecture(kind, resolution=side), seed=1).eval()
    autoencoder.training_losses.zero_()
    return autoencoder


def endless(kind="l2-ae", **changes):
    """A projection that takes all of its steps."""
    return Method(kind, **{"steps": 25, "quantile": None, "tolerance": 0, "batch": 4, **changes})


# Closed forms


def test_without_distance_a_linear_autoencoder_s_projection_is_the_orthogonal_one():
    autoencoder, images = Linear(), drawn()
    found = project(images, autoencoder, endless(learning_rate=0.4), 0.0).restored
    expected = 2 * autoencoder(brightness(images)) - 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (found - images).abs().max() > 0.1


def test_adam_reaches_the_linear_autoencoder_s_images_if_not_the_nearest():
    """Its steps weigh pixels, so that they leave the normal of the plane."""
    autoencoder, images = Linear(), drawn()
    method = endless(steps=300, solver="adam", learning_rate=0.003)
    found = brightness(project(images, autoencoder, method, 0.0).restored)
    torch.testing.assert_close(found, autoencoder(found), rtol=0, atol=1e-3)


def test_with_distance_pixels_that_an_autoencoder_drops_stop_at_half_lambda():
    """f keeps half of the pixels and makes the others 0: E is a sum of x^2 + lam |x - x_0|."""
    autoencoder, images, lam, rate = Linear(), drawn(), 0.8, 0.01
    kept = torch.arange(64) % 2 == 0
    autoencoder.projector.copy_(kept.diag())
    found = project(images, autoencoder, endless(steps=300, learning_rate=rate), lam).restored
    start = brightness(images)
    expected = torch.where(kept.view(8, 8), start, start.clamp(max=lam / 2))
    torch.testing.assert_close(brightness(found), expected, rtol=0, atol=2 * rate * lam)
    assert (expected < start).any()
    assert ((expected == start) & ~kept.view(8, 8)).any()  # cheaper to leave


@pytest.mark.parametrize("lam", [0.05, 0.2])
def test_with_distance_its_energy_is_that_of_scikit_learn_s_lasso(lam):
    """min ||(I - P)(x_0 + d)||^2 + lam ||d||_1 over d.

    Of T subgradient steps of size a, with subgradients g, the least energy is at most
    ||x_0 - x*||^2 / (2 a T) + a ||g||^2 / 2 too large.
    """
    autoencoder, images = Linear(), drawn()
    rate, steps = 0.004, 2000
    found = project(images, autoencoder, endless(steps=steps, learning_rate=rate), lam).restored
    away = (torch.eye(64) - autoencoder.projector).double().numpy()
    for image, own in zip(brightness(images), brightness(found), strict=True):
        start = image.flatten().double().numpy()
        lasso = Lasso(alpha=lam / (2 * 64), fit_intercept=False, tol=1e-10, max_iter=100_000)
        best = start + lasso.fit(away, -away @ start).coef_

        def value(at, start=start):
            return np.sum((away @ at) ** 2) + lam * np.abs(at - start).sum()

        steep = np.linalg.norm(2 * away @ best) + lam * np.sqrt(64)
        bound = np.sum((start - best) ** 2) / (2 * rate * steps) + rate * steep**2 / 2
        excess = value(own.flatten().double().numpy()) - value(best)
        assert -1e-6 < excess < bound
        assert excess < 0.1 * (value(start) - value(best))


def test_one_plain_step_is_that_of_equation_5_with_the_gradient_through_the_autoencoder():
    autoencoder, images = untrained("l2-ae"), drawn(2, 16)
    found = project(images, autoencoder, endless(steps=1, learning_rate=0.01), 0.05).restored
    moved = brightness(images)

    def alone(image):
        return (image - autoencoder(image[None])[0]).square().sum()

    jacobian = torch.autograd.functional.jacobian(lambda x: autoencoder(x[None])[0], moved[0])
    residual = moved[0] - autoencoder(moved[:1])[0]
    through = 2 * residual - 2 * torch.einsum("cyx,cyxabd->abd", residual, jacobian)
    expected = (moved[0] - 0.01 * through).clamp(0, 1)
    torch.testing.assert_close(brightness(found[0]), expected, rtol=0, atol=1e-5)
    assert not torch.allclose(through, 2 * residual, atol=1e-2)  # what a detached f(x) would give
    torch.testing.assert_close(alone(moved[0]), energy(autoencoder, moved, moved, 0.05)[1][0])


def test_a_plain_step_of_the_gamma_vae_is_in_units_of_its_variance():
    """At any gamma, as if gamma were 1: L_r is 1 / gamma^2 as steep."""
    images = drawn()
    method = endless("gamma-vae", steps=3)
    wide, narrow = (project(images, Linear("gamma-vae", g), method, 0.0) for g in (0.0, -3.0))
    torch.testing.assert_close(wide.restored, narrow.restored, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_energy_falls(kind):
    autoencoder, images = untrained(kind), drawn(3, 16)
    method = endless(kind, steps=50, solver="adam", learning_rate=0.005)
    found = project(images, autoencoder, method, 0.01).restored
    start = brightness(images)
    before, after = (
        energy(autoencoder, image, start, 0.01)[0] for image in (start, brightness(found))
    )
    assert (after < 0.8 * before).all()


# One image at a time


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", ["", "-grad", "-grad-blind", "-grad-with-mask"])
def test_an_image_s_result_is_the_same_alone_in_a_batch_and_in_a_shard(kind, preset):
    autoencoder, images = untrained(kind), drawn(7, 16)
    chosen = METHODS[kind + preset]
    settings = {"batch": 3}
    if chosen.steps:
        settings |= {"steps": 23, "learning_rate": 0.01, "solver": "adam"}
    method = configured(kind + preset, settings)
    # Images stop at different steps.
    losses = energy(autoencoder, brightness(images), brightness(images), 0)[1]
    autoencoder.training_losses.fill_(0.9 * losses.median().item())
    mask = drawn(7, 16, seed=1)[:, 0] > 0 if method.needs_mask else None

    def restore(rows):
        own = None if mask is None else mask[rows]
        lam = 0.05 if method.has_lambda else None
        return project(images[rows], autoencoder, method, lam, mask=own)

    whole = restore(slice(0, 7))
    if chosen.steps and preset != "-grad-with-mask":
        assert len(set(whole.passes.tolist())) > 1
    for rows in (slice(2, 3), slice(0, 4), slice(4, 7), [6, 5, 4, 3, 2, 1, 0]):
        part = restore(rows)
        for name in ("restored", "score", "passes"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[rows]), (name, rows)


@pytest.mark.parametrize("score", GRADIENT_SCORES)
def test_a_gradient_score_is_the_same_alone_and_in_a_batch(score):
    autoencoder, images = untrained("vae"), drawn(5, 16)
    method = configured(f"vae-{score}", {"batch": 3})
    whole, alone = (project(part, autoencoder, method) for part in (images, images[3:4]))
    assert torch.equal(whole.score[3:4], alone.score)
    assert torch.equal(whole.restored[3:4], alone.restored)


# When to stop


def test_an_image_stops_where_its_loss_reaches_that_of_the_training_images():
    autoencoder, images = Linear(), drawn()
    losses = energy(autoencoder, brightness(images), brightness(images), 0)[1]
    autoencoder.training_losses.copy_(torch.linspace(0.04, 1.04, 101) * losses.min())
    method = endless(steps=200, learning_rate=0.05, quantile=0.0)
    found = project(images, autoencoder, method, 0.0)
    reached = energy(autoencoder, brightness(found.restored), brightness(images), 0)[1]
    threshold = 0.04 * losses.min()
    # Each step leaves (1 - 0.1)^2 of the loss.
    assert ((0.81 * threshold < reached) & (reached <= threshold * 1.001)).all()
    expected = torch.ceil(torch.log(threshold / losses) / torch.log(torch.tensor(0.81)))
    torch.testing.assert_close(found.passes, expected.long() + 1)  # one more says that it is there
    sooner = project(images, autoencoder, endless(quantile=0.5, learning_rate=0.05), 0.0)
    assert (sooner.passes < found.passes).all()


def test_an_image_that_is_normal_already_stays_as_it_is():
    autoencoder, images = untrained("vae"), drawn(2, 16)
    autoencoder.training_losses.fill_(1e6)
    found = project(images, autoencoder, METHODS["vae-grad"], 0.05)
    torch.testing.assert_close(found.restored, images)
    assert found.passes.tolist() == [1, 1]
    assert found.score.abs().max() < 1e-5


def test_an_image_stops_where_its_energy_settles_and_else_at_the_last_step():
    autoencoder, images = Linear(), drawn()
    settled = project(images, autoencoder, endless(steps=500, tolerance=1e-4), 0.0)
    assert (settled.passes < 50).all()
    assert project(images, autoencoder, endless(steps=37), 0.0).passes.tolist() == [37] * 3


def test_a_projection_that_diverges_is_no_result():
    with pytest.raises(InputError, match="learning_rate: 5; the projection diverged"):
        project(drawn(), Linear(), endless(steps=500, learning_rate=5.0), 0.0)


def test_projections_whose_energy_rose_are_named_in_the_log(caplog):
    """Each step multiplies what is left by 1 - 2 learning_rate: -1.2 is too far, -0.8 is not."""
    project(drawn(), Linear(), endless(steps=20, learning_rate=0.9), 0.0)
    assert not caplog.records
    project(drawn(), Linear(), endless(steps=20, learning_rate=1.1), 0.0)
    (record,) = caplog.records
    expected = "the energy of 3 of 3 projections rose; learning_rate 1.1"
    assert record.getMessage().startswith(expected)


def test_a_rise_within_few_steps_is_named_too(caplog):
    project(drawn(), Linear(), endless(steps=4, learning_rate=1.1), 0.0)
    assert "the energy of 3 of 3 projections rose" in caplog.text


# Masks


@pytest.mark.parametrize(("kind", "solver"), list(itertools.product(KINDS, ["gradient", "adam"])))
def test_pixels_outside_the_given_mask_are_left_untouched(kind, solver):
    autoencoder, images = untrained(kind), drawn(3, 16)
    mask = torch.zeros(3, 16, 16, dtype=torch.bool)
    mask[:, 4:9, 6:12] = True
    method = endless(kind, update="masked", score="given", solver=solver, learning_rate=0.01)
    found = project(images, autoencoder, method, 0.05, mask=mask)
    held = ~mask[:, None]
    assert torch.equal(found.restored[held], (2 * brightness(images) - 1)[held])
    assert (found.restored - images)[mask[:, None]].abs().min() > 0
    assert torch.equal(found.score, mask.float())


def test_the_known_mask_s_projection_of_a_linear_autoencoder_is_a_least_squares_solution():
    autoencoder, images = Linear(), drawn()
    mask = torch.zeros(3, SIDE, SIDE, dtype=torch.bool)
    mask[:, 2:4, 3:6] = True
    method = endless(update="masked", score="given", steps=300)
    found = brightness(project(images, autoencoder, method, 0.0, mask=mask).restored)
    away = torch.eye(64) - autoencoder.projector
    hidden = mask[0].flatten()
    for image, own in zip(brightness(images).flatten(1), found.flatten(1), strict=True):
        known = away[:, ~hidden] @ image[~hidden]
        expected = torch.linalg.lstsq(away[:, hidden], -known[:, None]).solution[:, 0]
        torch.testing.assert_close(own[hidden], expected, rtol=0, atol=1e-3)


def test_the_blind_step_is_that_of_equation_8():
    autoencoder, images = untrained("l2-ae"), drawn(2, 16)
    method = endless(update="tuned", steps=1, learning_rate=0.01)
    found = brightness(project(images, autoencoder, method, 0.05).restored)
    start = brightness(images)
    moved = start.clone().requires_grad_()
    value, _, reconstructed = energy(autoencoder, moved, start, 0.05)
    (gradient,) = torch.autograd.grad(value.sum(), moved)
    expected = start - 0.01 * gradient * (start - reconstructed).square()
    torch.testing.assert_close(found, expected.clamp(0, 1).detach())


# Scores


def test_the_score_is_the_dissimilarity_that_scikit_image_finds():
    autoencoder, images = untrained("l2-ae"), drawn(2, 16)
    found = project(images, autoencoder, endless(learning_rate=0.05), 0.05)
    for image, restored, score in zip(images, found.restored, found.score, strict=True):
        a, b = (brightness(tensor)[0].double().numpy() for tensor in (image, restored))
        _, full = structural_similarity(a, b, win_size=7, data_range=1, full=True)
        np.testing.assert_allclose(score, (1 - full) / 2, atol=1e-4)


def test_without_steps_it_is_the_reconstruction():
    autoencoder, images = untrained("vae"), drawn(3, 16)
    found = project(images, autoencoder, "vae")
    expected = (2 * autoencoder(brightness(images)) - 1).clamp(-1, 1).detach()
    torch.testing.assert_close(found.restored, expected, rtol=0, atol=1e-6)


def test_gradient_scores_are_the_derivatives_of_their_definitions():
    autoencoder, images = untrained("vae").double(), drawn(1, 16).double()
    start = brightness(images)

    def divergence(image):
        return latent_divergence(*autoencoder.encode(image)).sum()

    def loss(image):
        return energy(autoencoder, image, image, 0)[1].sum() + divergence(image)

    gradients = {}
    for name, function in (("gradient", loss), ("divergence", divergence)):
        gradients[name] = torch.zeros(16, 16, dtype=torch.double)
        for place in itertools.product(range(0, 16, 5), range(0, 16, 5)):
            shift = torch.zeros_like(start)
            shift[0, 0][place] = 1e-5
            slope = (function(start + shift) - function(start - shift)) / 2e-5
            gradients[name][place] = slope.abs()
    map_of_loss = (start - autoencoder(start)).square()[0, 0] / 2
    expected = {"loss": map_of_loss}
    for name, gradient in gradients.items():
        expected |= {name: gradient, f"{name}-loss": gradient * map_of_loss}
    autoencoder, at = autoencoder.float(), slice(None, None, 5)
    for name in GRADIENT_SCORES:
        score = project(images.float(), autoencoder, f"vae-{name}").score[0][at, at]
        truth = expected[name].float()[at, at].detach()
        torch.testing.assert_close(score, truth, rtol=1e-3, atol=1e-5)


def test_a_larger_image_is_projected_tile_by_tile_and_scored_as_a_whole():
    autoencoder, images = untrained("l2-ae", side=8 * 2), drawn(2, 32)
    method = endless(learning_rate=0.05)
    found = project(images, autoencoder, method, 0.05)
    corner = project(images[:, :, 16:, :16], autoencoder, method, 0.05)
    assert torch.equal(found.restored[:, :, 16:, :16], corner.restored)
    assert found.passes.tolist() == [4 * 25] * 2
    a, b = (brightness(tensor)[0, 0].double().numpy() for tensor in (images, found.restored))
    _, full = structural_similarity(a, b, win_size=7, data_range=1, full=True)
    np.testing.assert_allclose(found.score[0], (1 - full) / 2, atol=1e-4)


# Registry and refusals


def test_every_autoencoder_has_its_reconstruction_its_projections_and_the_vae_five_scores():
    kinds = ("l2-ae", "dsae", "vae", "gamma-vae")
    descending = {f"{kind}-grad{of}" for kind in kinds for of in ("", "-blind", "-with-mask")}
    others = {*kinds, *(f"vae-{score}" for score in GRADIENT_SCORES)}
    assert set(METHODS) == descending | others
    assert {name for name, method in METHODS.items() if method.has_lambda} == descending
    told = {name for name, method in METHODS.items() if method.needs_mask}
    assert told == {f"{kind}-grad-with-mask" for kind in kinds}
    assert all(name.startswith(method.autoencoder) for name, method in METHODS.items())


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        ("ae", {}, "preset 'ae' is unknown; allowed: l2-ae"),
        ("vae", {"steps": 5}, "vae: setting 'steps' is unknown; allowed: batch"),
        ("vae-grad", {"update": "tuned"}, "setting 'update' is unknown; allowed: steps"),
        ("vae-grad", {"steps": 0}, "steps 0: allowed: at least 1"),
        ("vae-grad", {"steps": "ten"}, "vae-grad: settings: steps: 'ten'"),
        ("vae-grad", {"solver": "newton"}, "solver: 'newton'"),
        ("vae-grad", {"quantile": 2}, "quantile 2.0: allowed: 0 to 1, or null"),
        ("vae-grad", {"learning_rate": 0}, "learning_rate 0.0: allowed: above 0"),
        (
            "vae-grad",
            {"solver": "adam"},
            "learning_rate 0.5: .* solver adam: at most 0.1",
        ),
        ("vae-grad", {"tolerance": -1}, "tolerance -1.0"),
        ("vae-grad", {"batch": 0}, "batch 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(preset, settings, message):
    with pytest.raises(InputError, match=message):
        configured(preset, settings)


def test_settings_replace_those_of_the_preset():
    settings = {"steps": 7, "quantile": None, "solver": "adam", "learning_rate": 0.01}
    method = configured("vae-grad-blind", settings)
    assert (method.steps, method.quantile, method.update) == (7, None, "tuned")
    assert set(SETTINGS) == {
        *("steps", "solver", "learning_rate", "quantile", "tolerance", "batch")
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": drawn(2, 16)[:, 0]}, "images have shape"),
        ({"images": drawn(2, 12)}, "multiples of 16 x 16"),
        ({"images": 3 * drawn(2, 16)}, "images hold values"),
        ({"images": drawn(2, 16) * float("nan")}, "images hold values"),
        ({"method": "dsae-grad"}, "autoencoder: vae; this method's is dsae"),
        ({"method": "x"}, "'x' is unknown"),
        ({"lam": None}, "lam: this method needs a value"),
        ({"lam": -1.0}, "lam: -1.0; allowed: at least 0"),
        ({"method": "vae"}, "lam: this method has none"),
        ({"mask": torch.ones(2, 16, 16, dtype=torch.bool)}, "mask: this method takes none"),
        ({"method": "vae-grad-with-mask"}, "mask: this method needs the true mask"),
        (
            {"method": "vae-grad-with-mask", "mask": torch.ones(2, 8, 8, dtype=torch.bool)},
            r"mask has shape \(2, 8, 8\), not",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    given = {"images": drawn(2, 16), "method": "vae-grad", "lam": 0.05, "mask": None} | change
    with pytest.raises(InputError, match=message):
        project(
            given["images"], untrained("vae"), given["method"], given["lam"], mask=given["mask"]
        )


def test_an_autoencoder_that_was_not_trained_has_no_loss_to_stop_at():
    autoencoder = Autoencoder(architecture("vae")).eval()
    with pytest.raises(InputError, match="not trained"):
        project(drawn(2, 16), autoencoder, "vae-grad", 0.05)
