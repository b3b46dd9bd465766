"""The bill before it is paid, against what is counted while the work is done."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from small_inversion import short_rounds, shown
from torch.utils.flop_counter import FlopCounterMode

from rgi.corruption import Block, Noise, make_case, save_case
from rgi.errors import InputError
from rgi.files import save_arrays
from rgi.inversion import METHODS, engine, invert_grid, weights
from rgi.models import Architecture, Discriminator, Generator, frozen, stacked
from rgi.planning import (
    Work,
    case_bytes,
    images_bytes,
    inversion_work,
    read_rates,
    restoration_bytes,
    training_bytes,
    training_work,
)
from rgi.training import TrainingSettings, draw_samples, train

SMALL = Architecture(16, 3, 6, (8, 6, 4))
SHORT = {
    "pool": 24,
    "batch": 4,
    "tolerance": 0.0,
}


def short(name):
    """A method with few steps in several stages that never stops early."""
    method = METHODS[name]
    stages = ((6, 3), (2, 12), (2, 4)) if method.explore_lam else ((3, 2), (1, 11))
    weights, rounds = 3 if method.learns_weights else 0, short_rounds(method, 3)
    escapes = ((2, 3), (3, 1)) if method.escapes else ()
    steps = {"stages": stages, "escapes": escapes, "rounds": rounds, "weights_iterations": weights}
    return replace(method, **steps, **SHORT)


def invert(method, images, lambdas):
    """Run a method on noise; its restorations."""
    random = torch.Generator().manual_seed(0)
    observed = torch.rand(images, 3, 16, 16, generator=random) * 2 - 1
    mask = torch.rand(images, 16, 16, generator=random) < 0.25
    lams = [0.1 * (1 + number) for number in range(lambdas)] if method.has_lambda else [None]
    seen = shown(method, observed, mask)
    return invert_grid(
        seen.pop("images"),
        Generator(SMALL, seed=1).eval(),
        method,
        lams,
        **seen,
        discriminator=Discriminator(SMALL, seed=2).eval(),
    )


@pytest.mark.usefixtures("needed_backbone")
@pytest.mark.parametrize("name", METHODS)
def test_planned_passes_are_those_that_are_taken(name, monkeypatch):
    """Every row of every pass with gradient is counted where the generator is called."""
    method, images, lambdas = short(name), 5, 2 if METHODS[name].has_lambda else 1
    taken = {"descent": 0, "fine-tuning": 0}

    class Counted(frozen.Frozen):
        def __call__(self, variable):
            taken["descent"] += len(variable) * variable.requires_grad
            return super().__call__(variable)

    class CountedStack(stacked.Stacked):
        def __call__(self, latent):
            taken["fine-tuning"] += len(latent) * latent.requires_grad
            return super().__call__(latent)

    def counted_stack(*arguments):
        return CountedStack(stacked.stacked(*arguments).layers)

    monkeypatch.setattr(engine, "fitting_batch", lambda problem, *_: engine.Batch(method.batch))
    monkeypatch.setattr(engine, "frozen", lambda made: Counted(frozen.frozen(made).layers))
    monkeypatch.setattr(weights, "stacked", counted_stack)
    found = invert(method, images, lambdas)
    work = {part.kind: part.passes for part in inversion_work(method, SMALL, images, lambdas)}
    assert work == {kind: count for kind, count in taken.items() if count}
    # Without rows that only fill a batch up, and lambda by lambda: the restorations' own count.
    alone = replace(method, batch=1)
    per_lambda = sum(part.passes for part in inversion_work(alone, SMALL, images, 1))
    assert [int(each.passes.sum()) for each in found] == [per_lambda] * lambdas


def operations(step):
    with FlopCounterMode(display=False) as counter:
        counter.mod_tracker.__exit__()  # its hooks on modules do not bear autograd.grad
        step()
    return counter.get_total_flops() / 1e9


@pytest.mark.usefixtures("needed_backbone")
@pytest.mark.parametrize("name", METHODS)
def test_planned_operations_are_those_that_are_done(name):
    """Of one row: of several, the counter overrates the gradients of weights."""
    method = replace(METHODS[name], pool=0, batch=1, tolerance=0.0)
    base = {"stages": ((1, 1),), "explore_lam": 0.0, "explore_critic_weight": 0.0, "settle": 0.0}
    base |= {"rounds": short_rounds(method, 1), "escapes": ((1, 1),) if method.escapes else ()}
    method = replace(method, **base, weights_iterations=int(method.learns_weights))
    changes = [{"stages": ((1, 3),)}]
    changes += [{"escapes": ((2, 3),)}] if method.escapes else []
    changes += [{"rounds": short_rounds(method, 3)}] if method.rounds else []
    changes += [{"weights_iterations": 3}] if method.learns_weights else []
    for change in changes:
        longer = replace(method, **change)
        done = operations(partial(invert, longer, 1, 1)) - operations(partial(invert, method, 1, 1))
        planned = [
            sum(part.gflop for part in inversion_work(which, SMALL, 1, 1))
            for which in (longer, method)
        ]
        assert planned[0] - planned[1] == pytest.approx(done, rel=1e-9)


@pytest.mark.parametrize("change", [{"stages": ((3, 4), (1, 10))}, {"settle": 0.0}])
def test_the_explorations_critic_is_planned_for_the_exploration_alone(change):
    """Settling is the last stage's, which has none: it costs as much as what follows it."""
    stages = {"stages": ((3, 2), (1, 10)), "escapes": (), "settle": 0.5}
    method = replace(METHODS["rgi-profile"], pool=0, batch=1, tolerance=0.0, **stages)
    done, planned = [], []
    for which in (method, replace(method, **change)):
        done.append(operations(partial(invert, which, 1, 1)))
        planned.append(sum(part.gflop for part in inversion_work(which, SMALL, 1, 1)))
    assert planned[1] - planned[0] == pytest.approx(done[1] - done[0], rel=1e-9, abs=1e-9)


def test_planned_training_is_what_a_training_computes(tmp_path):
    """A training as a whole, in steps of one group of images."""
    settings = TrainingSettings(images_stable=16, images_fade=16, batch=4)
    images = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), dtype=np.uint8)
    cpu = torch.device("cpu")
    done = operations(lambda: train(images, SMALL, settings, tmp_path, seed=0, device=cpu))
    # Sheets of samples, after each level and at the end, are not planned.
    for level in (0, 1, 2, 2):
        done -= operations(partial(draw_samples, Generator(SMALL), level, 0))
    work = training_work(SMALL, settings)
    assert [part.resolution for part in work] == [4, 8, 16]
    assert [part.passes for part in work] == [16, 32, 32]
    assert sum(part.gflop for part in work) == pytest.approx(done, rel=0.01)
    files = ("generator.pt", "discriminator.pt", "checkpoint.pt")
    written = sum((tmp_path / name).stat().st_size for name in files)
    assert training_bytes(SMALL) <= written < training_bytes(SMALL) + 3 * 50_000


def test_planned_sizes_hold_what_is_written(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "test.npy", images)
    assert (tmp_path / "test.npy").stat().st_size == images_bytes(7, 16, 3) + 128  # numpy's header
    noise = random.uniform(-1, 1, (7, 3, 16, 16)).astype(np.float32)
    save_case(tmp_path / "case.npz", make_case(noise, range(7), Block(5), Noise(), 0, "block"))
    planned = case_bytes(7, 16, 3)
    assert 0.7 * planned < (tmp_path / "case.npz").stat().st_size < planned + 4 * 300
    arrays = {
        "index": np.arange(7),
        "restored": noise,
        "score": noise[:, 0],
        "seconds": np.ones(7),
        "passes": np.arange(7),
        "objective": np.ones(7, dtype=np.float32),
    }
    save_arrays(tmp_path / "0.npz", arrays)
    planned = restoration_bytes(7, 16, 3)
    assert 0.7 * planned < (tmp_path / "0.npz").stat().st_size < planned + 6 * 300


INVERSION = {
    "machine": {"cpu": "Some CPU", "gpu": None, "threads": 1},
    "options": {"device": "cpu", "jobs": 2, "threads": 1},
    "rows": [
        {"method": "rgi", "resolution": 16, "ours": {"gflop_per_second": 40, "seconds": [1, 2, 4]}},
        {"method": "rgi", "resolution": 64, "ours": {"gflop_per_second": 80, "seconds": [1]}},
        {"method": "pan", "resolution": 16, "ours": {"gflop_per_second": 20, "seconds": [1]}},
    ],
}
TRAINING = {
    "machine": {"cpu": "Some CPU", "gpu": None, "threads": 1},
    "options": {"device": "cpu"},
    "rows": [{"resolution": 32, "own": {"gflop_per_step": 6, "seconds_per_step": [0.1, 0.2]}}],
}


def rates_of(tmp_path, inversion=INVERSION, training=TRAINING):
    paths = tmp_path / "inversion.json", tmp_path / "training.json"
    for path, report in zip(paths, (inversion, training), strict=True):
        path.write_text(json.dumps(report))
    return read_rates(*paths)


def test_hours_are_those_of_one_core_at_the_nearest_resolution_measured(tmp_path):
    rates = rates_of(tmp_path)
    assert (rates.device, rates.unit) == ("Some CPU", "core")
    hour = rates.estimate([Work("descent", 8, 1, 3600 * 20)])  # two cores did 40 GFLOP/s
    assert (hour.hours, hour.least, hour.most) == pytest.approx((1, 0.5, 2))
    assert rates.estimate([Work("descent", 128, 1, 3600 * 40)]).hours == pytest.approx(1)
    assert rates.estimate([Work("descent", 32, 1, 3600 * 40)]).hours == pytest.approx(1)
    assert rates.estimate([Work("fine-tuning", 16, 1, 3600 * 10)]).hours == pytest.approx(1)
    assert rates.estimate([Work("training", 4, 1, 3600 * 45)]).hours == pytest.approx(1)
    twice = rates.estimate(2 * [Work("descent", 16, 1, 3600 * 20)])
    assert (twice.hours, twice.least, twice.most) == pytest.approx((2, 1, 4))


def test_hours_on_a_gpu_are_gpu_hours(tmp_path):
    gpu = {"machine": {"cpu": "Some CPU", "gpu": "Some GPU", "threads": 8}}
    inversion = INVERSION | gpu | {"options": {"device": "cuda", "jobs": 1, "threads": 1}}
    rates = rates_of(tmp_path, inversion, TRAINING | gpu | {"options": {"device": "cuda"}})
    assert (rates.device, rates.unit) == ("Some GPU", "GPU")
    assert rates.estimate([Work("descent", 16, 1, 3600 * 40)]).hours == pytest.approx(1)
    assert rates.estimate([Work("training", 16, 1, 3600 * 45)]).hours == pytest.approx(1)


@pytest.mark.parametrize(
    ("inversion", "training", "message"),
    [
        (INVERSION, {"rows": []}, "not what benchmarks/inversion.py and benchmarks/training.py"),
        (INVERSION | {"rows": INVERSION["rows"][:1]}, TRAINING, "no rate of fine-tuning"),
        (
            INVERSION,
            TRAINING | {"machine": {"cpu": "Other CPU", "gpu": None, "threads": 1}},
            "measured on Other CPU, .* on Some CPU; expected one machine",
        ),
    ],
)
def test_reports_that_say_too_little_are_named(tmp_path, inversion, training, message):
    with pytest.raises(InputError, match=message):
        rates_of(tmp_path, inversion, training)


def test_a_missing_report_is_named(tmp_path):
    with pytest.raises(InputError, match="nothing.json: no such file"):
        read_rates(tmp_path / "nothing.json", tmp_path / "nothing.json")
