"""The engine's invariants (design) and the paper's appendix B and Theorem 2."""

from dataclasses import replace

import pytest
import torch
from small_inversion import ARCHITECTURE, corrupt, short_rounds, shown, stated

from rgi.corruption.operators import AveragePooling, Identity, Inpainting, RandomProjections
from rgi.errors import InputError
from rgi.inversion import METHODS, closed_form_mask, invert, profile_fidelity
from rgi.inversion.descent import finish, search
from rgi.inversion.memory import Batch
from rgi.inversion.methods import configured
from rgi.inversion.objective import masked_fidelity, pixel_error
from rgi.inversion.start import start_latents
from rgi.models import Architecture, Discriminator, Generator
from rgi.models.frozen import frozen

COLOURED = Discriminator(replace(ARCHITECTURE, channels=3)).eval()
LARGER = Discriminator(Architecture(16, 1, 8, (16, 12, 8))).eval()


@pytest.fixture(scope="module")
def generator():
    return Generator(ARCHITECTURE, seed=1).eval()


@pytest.fixture(scope="module")
def discriminator():
    return Discriminator(ARCHITECTURE, seed=2).eval()


@pytest.fixture(scope="module")
def corrupted(generator):
    return corrupt(generator)


def minimise(problem, generator, latents, batch=16):
    """All of a method's stages from given starts."""
    render, batch = frozen(generator), Batch(batch)
    found = search(problem, render, latents, problem.method.stages, batch)
    return finish(problem, generator, render, found, batch)


def starts(problem, generator, index, seed=0):
    return start_latents(problem, generator, frozen(generator), index, seed, Batch(16))


def short(name):
    method = METHODS[name]
    stages = ((4, 4), (1, 8)) if method.profile else ((1, 12),)
    if method.perceptual_weight:  # LPIPS looks at 64 x 64 pixels
        return replace(method, pool=8, stages=((1, 4),), rounds=short_rounds(method, 3), batch=6)
    weights = 5 * method.learns_weights
    rounds = short_rounds(method, 6)
    return replace(method, pool=32, stages=stages, rounds=rounds, weights_iterations=weights)


def run(name, images, generator, discriminator, mask, **options):
    changes = {key: options.pop(key) for key in ("stages", "batch") if key in options}
    method = replace(short(name), **changes)
    if method.has_lambda:
        options.setdefault("lam", 0.1)
    seen = shown(method, images, mask)
    return invert(
        seen.pop("images"), generator, method, discriminator=discriminator, **seen, **options
    )


@pytest.mark.parametrize("fidelity", ["l2", "l1"])
@pytest.mark.parametrize("lam", [0.01, 0.3, 2.0])
def test_closed_form_mask_is_the_best_on_a_grid(fidelity, lam):
    residual = torch.linspace(-2, 2, 101).reshape(101, 1, 1, 1)
    error = pixel_error(residual, fidelity)
    grid = torch.linspace(0, 1, 2001)
    power = 2 if fidelity == "l2" else 1
    values = (1 - grid) ** power * error.reshape(-1, 1) + lam * grid  # eq. 3, written out
    weight = torch.full((101,), lam)
    found = closed_form_mask(error, weight, fidelity)
    value = masked_fidelity(error, found, fidelity) + lam * found.sum((1, 2))
    torch.testing.assert_close(value, values.min(1).values, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(profile_fidelity(error, weight, fidelity), value)


def test_profile_gradient_is_finite_where_the_fit_is_perfect():
    error = torch.zeros(1, 2, 2, requires_grad=True)
    profile_fidelity(error, torch.tensor([0.1]), "l2").sum().backward()
    assert torch.equal(error.grad, torch.ones_like(error))


@pytest.mark.usefixtures("needed_backbone")
@pytest.mark.parametrize("name", METHODS)
def test_an_image_alone_equals_itself_among_others_to_the_last_bit(
    name, corrupted, generator, discriminator
):
    """At a length at which Adam has blown up any difference in rounding."""
    images, mask, _ = corrupted
    stages = ((4, 20), (1, 180)) if METHODS[name].profile else ((1, 200),)
    many = {"stages": stages, "batch": 16}
    if METHODS[name].perceptual_weight:
        many = {}
    together = run(name, images, generator, discriminator, mask, index=range(5), **many)
    alone = run(name, images[4:], generator, discriminator, mask[4:], index=[4], **many)
    assert torch.equal(alone.restored[0], together.restored[4])
    assert torch.equal(alone.score[0], together.score[4])
    assert torch.equal(alone.latent[0], together.latent[4])


@pytest.mark.parametrize("latent_dim", [6, 33])
@pytest.mark.parametrize("name", ["pan-with-mask", "r-rgi-profile"])
def test_an_image_equals_itself_alone_for_latents_of_odd_sizes(name, latent_dim):
    """Matrix products round such a row by its place among the others."""
    architecture = Architecture(8, 1, latent_dim, (16, 12))
    generator = Generator(architecture, seed=1).eval()
    discriminator = Discriminator(architecture, seed=2).eval()
    images = torch.rand(19, 1, 8, 8, generator=torch.Generator().manual_seed(5)) * 2 - 1
    mask = torch.rand(19, 8, 8, generator=torch.Generator().manual_seed(6)) < 0.2
    together = run(name, images, generator, discriminator, mask)
    for row in (3, 7, 13):
        one = slice(row, row + 1)
        alone = run(name, images[one], generator, discriminator, mask[one], index=[row])
        assert torch.equal(alone.restored[0], together.restored[row])


@pytest.mark.usefixtures("needed_backbone")
@pytest.mark.parametrize("name", METHODS)
def test_a_restoration_is_in_range_and_leaves_its_inputs_alone(
    name, corrupted, generator, discriminator
):
    images, mask, _ = corrupted
    before = [parameter.clone() for parameter in generator.parameters()]
    given = images.clone()
    result = run(name, images, generator, discriminator, mask)
    assert result.restored.shape == images.shape
    assert result.restored.abs().max() <= 1
    assert result.score.shape == mask.shape
    assert result.latent.shape == (5, 8)
    assert result.seconds.dtype == torch.float64
    assert (result.seconds > 0).all()
    assert torch.equal(images, given)
    assert all(map(torch.equal, before, generator.parameters()))
    if METHODS[name].finds_mask:
        assert 0 <= result.score.min() <= result.score.max() <= 1
    if METHODS[name].needs_mask or METHODS[name].needs_operator:
        assert torch.equal(result.score, mask.float())


def test_a_lambda_per_image_equals_one_run_per_lambda(corrupted, generator, discriminator):
    images, mask, _ = corrupted
    lams = [0.02, 0.1, 0.3, 1.0, 3.0]
    together = run("rgi", images, generator, discriminator, mask, lam=lams)
    for row, lam in enumerate(lams):
        alone = run("rgi", images[row : row + 1], generator, discriminator, None, lam=lam)
        torch.testing.assert_close(alone.score[0], together.score[row], atol=1e-4, rtol=0)


def test_a_huge_lambda_is_plain_inversion(corrupted, generator):
    images, _, _ = corrupted
    rgi = replace(short("rgi"), critic_weight=0.0)
    masked = invert(images, generator, rgi, lam=1e6)
    plain = invert(images, generator, short("l2"))
    assert masked.score.max() == 0
    torch.testing.assert_close(masked.restored, plain.restored)


def test_theorem_2_the_support_of_the_found_mask_is_the_true_mask(generator):
    """x = G(z) + s with z known as the start: M > 0 exactly where s is not 0."""
    method = replace(METHODS["rgi"], critic_weight=0.0, pool=0, stages=((1, 300),))
    index = torch.arange(8)
    nothing = stated(torch.zeros(8, 1, 8, 8), method, 1.0)
    with torch.no_grad():
        clean = generator(starts(nothing, generator, index, seed=7)[:, 0])
    mask = torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(8)) < 0.2
    images = torch.where(mask[:, None], torch.where(clean > 0, clean - 0.9, clean + 0.9), clean)
    found = invert(images, generator, method, lam=0.02, index=index, seed=7)
    assert torch.equal(found.score > 0, mask)
    assert (found.restored - clean).square().mean().sqrt() < 5e-3


def test_theorem_1_z_is_recovered_from_a_start_beside_it(generator):
    """x = G(z) + s, gross s: a small lambda finds G(z) again, plain inversion does not."""
    source = torch.Generator().manual_seed(9)
    latent = torch.randn(8, 8, generator=source)
    beside = latent + 0.3 * torch.randn(8, 8, generator=source)
    with torch.no_grad():
        clean = generator(latent)
    mask = torch.rand(8, 8, 8, generator=source) < 0.2
    images = torch.where(mask[:, None], torch.where(clean > 0, -1.0, 1.0), clean)
    errors = {}
    for name in ("rgi", "l2"):
        method = replace(METHODS[name], critic_weight=0.0, stages=((1, 400),))
        problem = stated(images, method, 0.02)
        found = minimise(problem, generator, beside[:, None])
        errors[name] = (found.restored - clean).square().mean((1, 2, 3)).sqrt()
    assert errors["rgi"].median() < 0.02
    assert (errors["l2"] > 0.1).all()


def test_the_objective_falls(corrupted, generator, discriminator):
    images, _, _ = corrupted
    values = []
    for steps in (1, 100):
        method = replace(short("rgi"), stages=((1, steps),))
        problem = stated(images, method, 0.1, discriminator)
        latents = starts(problem, generator, torch.arange(5))
        found = minimise(problem, generator, latents)
        values.append(problem.objective(found.restored, found.score))
    assert (values[1] < values[0]).all()


def test_of_several_starts_the_lowest_objective_wins(corrupted, generator):
    """Equal to a loop over the starts, each as an inversion of its own."""
    images, _, _ = corrupted
    method = replace(short("rgi"), critic_weight=0.0, stages=((3, 12),), batch=5)
    problem = stated(images, method, 0.1)
    latents = starts(problem, generator, torch.arange(5))
    single = replace(problem, method=replace(method, stages=((1, 12),)))
    alone = [minimise(single, generator, latents[:, [start]]) for start in range(3)]
    values = torch.stack([problem.objective(s.restored, s.score) for s in alone])
    best = values.argmin(0)
    close = {"atol": 1e-3, "rtol": 0}  # other batch shapes, other rounding
    together = invert(images, generator, method, 0.1)
    for row, start in enumerate(best):
        torch.testing.assert_close(together.restored[row], alone[start].restored[row], **close)
        torch.testing.assert_close(together.score[row], alone[start].score[row], **close)


def test_fine_tuning_fits_the_observed_pixels_better(corrupted, generator, discriminator):
    images, mask, _ = corrupted
    fixed = replace(METHODS["yeh-with-mask"], stages=((1, 30),), critic_weight=0.0, pool=1)
    tuned = replace(
        fixed,
        variables=("latent", "weights"),
        stages=((1, 10),),
        weights_iterations=20,
        weights_learning_rate=1e-2,
    )
    errors = [
        masked_fidelity(
            pixel_error(images - invert(images, generator, method, mask=mask).restored, "l2"),
            mask.float(),
            "l2",
        )
        for method in (fixed, tuned)
    ]
    assert (errors[1] < errors[0]).all()


def test_the_same_seed_gives_the_same_bits(corrupted, generator, discriminator):
    images, mask, _ = corrupted
    first, second = (run("r-rgi", images, generator, discriminator, mask) for _ in range(2))
    assert torch.equal(first.restored, second.restored)


def test_a_gpu_would_neither_round_to_tf32_nor_choose_other_algorithms(corrupted, generator):
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul

    def state():
        precision = cudnn.conv.fp32_precision, products.fp32_precision
        return *precision, cudnn.deterministic, cudnn.benchmark

    seen, before = set(), state()

    class Watching(Discriminator):
        def forward(self, images):
            seen.add(state())
            return super().forward(images)

    run("rgi", corrupted[0], generator, Watching(ARCHITECTURE).eval(), None)
    expected = "ieee", "ieee", True, False
    assert seen == {expected}
    assert state() == before != expected


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("rgi", {"lam": None}, "lam: this method needs a value"),
        ("rgi", {"lam": -1.0}, "one value > 0"),
        ("rgi", {"lam": [0.1, 0.2]}, "or one per image"),
        ("rgi", {"lam": float("inf")}, "one value > 0"),
        ("l2", {"memory": 0}, "memory: 0 bytes"),
        ("rgi", {"discriminator": None}, "discriminator: this method's prior"),
        ("l2", {"lam": 0.1}, "lam: this method has none"),
        ("l2", {"images": torch.zeros(2, 1, 9, 9)}, "the generator makes N x 1 x 8 x 8"),
        ("l2", {"images": torch.full((1, 1, 8, 8), torch.nan)}, r"from nan .* allowed: \[-1, 1\]"),
        ("l2", {"images": torch.full((1, 1, 8, 8), 255.0)}, "values from 255 to 255"),
        ("l2", {"images": [[0.0]]}, "a torch tensor is needed, this is list"),
        ("l2", {"index": [1]}, "index has 1 entries for 5 images"),
        ("l2", {"mask": torch.zeros(5, 8, 8)}, "must not see the true mask"),
        ("rgi", {"discriminator": Discriminator(ARCHITECTURE)}, r"call .eval\(\) first"),
        ("rgi", {"discriminator": LARGER}, "resolution 16; the generator has 8"),
        ("rgi", {"discriminator": COLOURED}, "channels 3; the generator has 1"),
        ("yeh-with-mask", {"mask": None}, "needs the true mask"),
        ("yeh-with-mask", {"mask": torch.full((5, 8, 8), 255)}, "mask holds 255; allowed: 0 and 1"),
        ("yeh-with-mask", {"mask": torch.linspace(0, 1, 320).view(5, 8, 8)}, r"mask holds 0\.003"),
        ("csgm", {"operator": Inpainting(torch.full((5, 8, 8), 255))}, "operator's mask holds 255"),
        ("csgm", {}, "operator: this method needs that"),
        ("csgm", {"operator": Inpainting(torch.zeros(5, 9, 9))}, "its masks have shape"),
        ("csgm", {"operator": AveragePooling(2)}, "as observed, have shape"),
        ("csgm", {"operator": RandomProjections(torch.zeros(3, 2, 8, 8))}, "not of the gen"),
        ("l2", {"operator": AveragePooling(2)}, "operator: this method takes none"),
        ("csgm", {"operator": Identity(), "images": torch.full((1, 1, 8, 8), torch.nan)}, "finite"),
        ("yeh-with-mask", {"mask": torch.zeros(5, 9, 9)}, "mask has shape"),
        ("magic", {}, "'magic' is unknown; allowed: l2, l1"),
    ],
)
def test_bad_arguments_are_named(name, change, message, corrupted, generator, discriminator):
    images, mask, _ = corrupted
    given = mask if name == "yeh-with-mask" else None
    arguments = {"images": images, "mask": given, "discriminator": discriminator, "lam": None}
    arguments |= {"lam": 0.1} if name == "rgi" else {}
    arguments |= change
    method = short(name) if name in METHODS else name
    with pytest.raises(InputError, match=message) as error:
        invert(arguments.pop("images"), generator, method, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 1}, "'lr' is unknown; allowed: fidelity"),
        ({"stages": []}, "pairs of starts and steps"),
        ({"stages": [[1, 9], [2, 9]]}, "starts must not increase"),
        ({"stages": [[2, 0], [1, 9]]}, "0 steps are allowed only in the last stage"),
        ({"stages": [[600, 9]]}, "begin with 600 starts, more than pool 512"),
        ({"solver": "lbfgs"}, "solver lbfgs keeps no variable"),
        ({"explore_lam": 0.1, "stages": [[1, 9]]}, "explore_lam needs .* a stage that follows"),
        ({"tolerance": 0.1}, "tolerance needs solver lbfgs"),
        ({"weights_iterations": 0}, "weights_iterations is 0"),
        ({"batch": 0}, "batch 0: allowed: at least 1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        configured("r-rgi", settings)


def test_weights_are_moved_by_adam_so_that_another_solver_s_ramp_would_begin_anew():
    with pytest.raises(InputError, match="ramp_down with weights_iterations needs solver adam"):
        configured("pan-with-mask", {"solver": "projected-adam", "ramp_down": 0.5})
