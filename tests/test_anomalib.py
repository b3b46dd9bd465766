"""anomalib's models behind our restoration file: trained by name, without a network."""

import hashlib
import json
import os
import re
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score

from rgi.baselines.detectors import check_model, read_detector, settings
from rgi.data.sources import BrickSettings, brick
from rgi.errors import InputError
from rgi.files import load_arrays, save_arrays

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
needs_anomalib = pytest.mark.skipif(find_spec("anomalib") is None, reason=settings.MISSING)


def pins(name):
    """What a lock holds: package, version and marker."""
    return set(re.findall(r"^([a-z0-9._-]+==[^\\\n]+?) *\\?$", (ROOT / name).read_text(), re.M))


def script(name, *arguments, **environment):
    command = [sys.executable, "-W", "ignore", ROOT / "workflow/scripts" / name, *arguments]
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def images():
    """32 x 32 brick: training images, and test images with a flat square."""
    parts = brick(BrickSettings(resolution=32, train=24, test=6), 0)
    train, test = (np.stack(list(part)) for part in (parts.train, parts.test))
    corrupted = np.moveaxis(test, -1, 1).astype(np.float32) / 127.5 - 1
    mask = np.zeros((6, 32, 32), dtype=bool)
    mask[:, 9:18, 13:22] = True
    return train, np.where(mask[:, None], np.float32(1), corrupted), mask


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """ResNet-18 in timm's and torchvision's form; random, for lack of a download."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet18().state_dict(), path)
    return path


@pytest.fixture
def train(images, backbone, tmp_path):
    """Train by name and read back what was written."""
    from rgi.baselines.detectors.model import load_detector
    from rgi.baselines.detectors.training import train_detector

    def run(name, seed=0, **values):
        values = {"image_size": 64, "backbone_weights": str(backbone)} | values
        directory = tmp_path / f"{name}-{seed}"
        chosen = read_detector(values, "settings")
        train_detector(images[0], name, chosen, directory, seed=seed, device=CPU)
        return load_detector(directory / "detector.pt")

    return run


RESNET = {"backbone": "resnet18"}


class TestTheExtra:
    def test_holds_the_lock_of_the_default_environment(self):
        assert pins("requirements.lock") < pins("requirements-anomalib.lock")
        assert any(pin.startswith("anomalib==") for pin in pins("requirements-anomalib.lock"))
        assert not any(pin.startswith("anomalib==") for pin in pins("requirements.lock"))

    @pytest.mark.parametrize("name", ["requirements.lock", "requirements-anomalib.lock"])
    def test_names_no_host(self, name):
        assert "://" not in (ROOT / name).read_text()

    def test_a_missing_extra_is_told_with_its_remedy(self, monkeypatch):
        monkeypatch.setattr(settings, "find_spec", lambda name: None)
        with pytest.raises(InputError, match="anomalib is not installed; run: make anomalib"):
            check_model("patchcore")

    @pytest.mark.skipif(find_spec("anomalib") is not None, reason="anomalib is installed")
    def test_a_missing_extra_stops_the_command_before_any_job(self, tmp_path):
        done = dry_run(tmp_path, {"padim": {"family": "anomalib"}})
        assert done.returncode != 0
        assert "error: methods: padim: anomalib is not installed" in done.stderr
        assert not (tmp_path / "results").exists()


def dry_run(directory, methods, asked=True):
    table = {"datasets": ["digits"], "cases": ["block"], "methods": ["median"]}
    table["methods"] += list(methods) if asked else []
    tables = {"inpainting": None, "simulation": None, "anomaly-detection": table}
    overlay = {"methods": methods, "tables": tables}
    (directory / "mine.yaml").write_text(yaml.safe_dump(overlay))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "-n"]
    return subprocess.run(
        [*command, "--configfile", "mine.yaml"], cwd=directory, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_size": 0}, "image_size: 0; must be at least 1"),
        ({"epochs": 2, "steps": 3}, "epochs and steps: only one"),
        ({"sha256": "0" * 64}, "backbone_weights is not given"),
        ({"backbone": "resnet18"}, "unknown key 'backbone'; allowed: arguments"),
        ({"steps": 1.5}, "steps: 1.5"),
    ],
)
def test_a_bad_setting_is_named(values, message):
    with pytest.raises(InputError, match=message):
        read_detector(values, "settings")


def test_a_detector_that_no_table_names_needs_no_extra(tmp_path):
    done = dry_run(tmp_path, {"padim": {"family": "anomalib"}}, asked=False)
    assert done.returncode == 0, done.stderr


@needs_anomalib
class TestByName:
    def test_a_model_is_an_entry_of_the_config(self, tmp_path):
        methods = {
            "padim": {"family": "anomalib"},
            "patchcore-small": {"family": "anomalib", "preset": "patchcore"},
        }
        done = dry_run(tmp_path, methods)
        assert done.returncode == 0, done.stderr
        found = dict(re.findall(r"^(\w+)\s+(\d+)$", done.stdout, re.M))
        assert found["detector"] == found["restore_anomalib"] == "2"

    def test_other_weights_of_the_backbone_train_anew(self, tmp_path):
        """A file that is an input, beside the training images."""
        weights = tmp_path / "my weights.pth"
        weights.touch()
        values = {"backbone_weights": str(weights)}
        done = dry_run(tmp_path, {"padim": {"family": "anomalib", "settings": values}})
        assert done.returncode == 0, done.stderr
        assert f"input: results/datasets/digits/train.npy, {weights}" in done.stdout

    def test_an_unknown_model_stops_the_command_before_any_job(self, tmp_path):
        done = dry_run(tmp_path, {"patchcoer": {"family": "anomalib"}})
        assert done.returncode != 0
        assert re.search("error: .*'patchcoer' is no image model of anomalib; allow", done.stderr)

    @pytest.mark.parametrize("name", ["reverse_distillation", "reverse-distillation", "Stfpm"])
    def test_spelling_does_not_matter(self, name):
        assert check_model(name) in ("reversedistillation", "stfpm")

    @pytest.mark.parametrize("name", ["dfkde", "winclip"])
    def test_models_without_maps_or_training_are_refused(self, name):
        with pytest.raises(InputError, match="allowed: anomalydino, .*patchcore"):
            check_model(name)

    def test_every_usable_name_is_a_class_of_anomalib(self):
        from rgi.baselines.detectors.model import models

        with pytest.raises(InputError) as error:
            check_model("nothing")
        names = str(error.value).split("allowed: ")[1].split(", ")
        assert set(names) <= {name.lower() for name in models.__all__}


@needs_anomalib
class TestDetecting:
    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("patchcore", {"arguments": RESNET}),
            ("padim", {"arguments": RESNET}),
            ("stfpm", {"steps": 2}),
        ],
    )
    def test_maps_have_the_images_size_and_a_defect_scores_higher(
        self, images, train, name, values
    ):
        from rgi.baselines.detectors.model import detect

        _, corrupted, mask = images
        detected = detect(torch.from_numpy(corrupted), train(name, **values), CPU)
        assert detected.score.shape == mask.shape and detected.score.dtype == np.float32
        assert np.isfinite(detected.score).all() and (detected.seconds > 0).all()
        if name != "stfpm":  # two steps teach a student nothing
            pairs = zip(mask, detected.score, strict=True)
            areas = [roc_auc_score(truth.ravel(), found.ravel()) for truth, found in pairs]
            assert np.mean(areas) > 0.9

    def test_an_image_alone_scores_as_among_others(self, images, train):
        from rgi.baselines.detectors.model import detect

        corrupted, detector = torch.from_numpy(images[1]), train("patchcore", arguments=RESNET)
        together = detect(corrupted, detector, CPU).score
        assert np.array_equal(detect(corrupted[4:5], detector, CPU).score[0], together[4])

    def test_the_map_is_that_of_anomalib_s_own_prediction(self, images, train):
        """At the model's size nothing is resized, and nothing clamped."""
        from anomalib.models import Patchcore

        from rgi.baselines.detectors.model import detect

        detector = train("patchcore", arguments=RESNET, image_size=32)
        theirs = Patchcore(
            backbone="resnet18",
            pre_trained=False,
            pre_processor=Patchcore.configure_pre_processor(image_size=(32, 32)),
            **dict.fromkeys(("post_processor", "evaluator", "visualizer"), False),
        ).eval()
        theirs.load_state_dict(detector.module.state_dict())
        corrupted = torch.from_numpy(images[1])
        with torch.inference_mode():
            grey = (corrupted[:1] + 1) / 2
            expected = theirs(grey.repeat(1, 3, 1, 1)).anomaly_map[0, 0].numpy()
        assert np.allclose(detect(corrupted[:1], detector, CPU).score[0], expected, atol=1e-6)

    def test_the_same_seed_gives_the_same_weights_and_another_does_not(self, train):
        weights = [
            torch.cat([p.flatten() for p in train("stfpm", seed=s, steps=2).module.parameters()])
            for s in (0, 0, 1)
        ]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    def test_a_bank_learns_from_as_many_images_as_it_is_told(self, train, tmp_path):
        train("padim", arguments=RESNET, images=5, batch=2)
        lines = [json.loads(s) for s in (tmp_path / "padim-0/training.jsonl").open()]
        assert lines[0]["images"] == 5 and lines[0]["steps"] == lines[-1]["step"] == 3

    def test_no_border_is_cropped(self):
        from torchvision.transforms.v2 import CenterCrop, Resize

        from rgi.baselines.detectors.model import _given_size, _without_crop

        transforms = [Resize((448, 448)), CenterCrop(392)]
        assert _given_size(transforms) == 392
        image = torch.zeros(1, 3, 392, 392)
        image[..., 0, 0] = 1
        assert torch.equal(_without_crop(transforms, 392)(image), image)

    def test_draem_learns_from_perlin_noise_without_a_download(self, images, train, tmp_path):
        from rgi.baselines.detectors.model import detect

        detector = train("draem", image_size=32, steps=2, batch=2, backbone_weights=None)
        scores = detect(torch.from_numpy(images[1][:1]), detector, CPU).score
        assert scores.min() >= 0 and scores.max() <= 1
        lines = [json.loads(s) for s in (tmp_path / "draem-0/training.jsonl").open()]
        assert [line["step"] for line in lines[1:]] == [1, 2, 2] and lines[1]["loss"] > 0
        assert detector.module.augmenter.anomaly_source_paths == []

    def test_a_calibrating_model_gets_images_that_it_was_not_trained_on(self, train, tmp_path):
        train("mh-patchcore", arguments=RESNET | {"memory_bank_size": 20, "local_coreset_size": 8})
        first = json.loads((tmp_path / "mh-patchcore-0/training.jsonl").open().readline())
        assert first["images"] == 24 - 3

    @pytest.mark.parametrize("wanted", [1, None])
    def test_a_calibrating_model_needs_two_images(self, images, backbone, tmp_path, wanted):
        from rgi.baselines.detectors.training import train_detector

        values = {"arguments": RESNET, "image_size": 64, "backbone_weights": str(backbone)}
        chosen = read_detector({**values, "images": wanted}, "settings")
        some = images[0] if wanted else images[0][:1]
        with pytest.raises(InputError, match="mh-patchcore: 1 training image; .* at least 2"):
            train_detector(some, "mh-patchcore", chosen, tmp_path, seed=0, device=CPU)
        assert not (tmp_path / "detector.pt").exists()


class Coarse(torch.nn.Module):
    """Stands in for a model of anomalib: its map has the mean of each 4 x 4 pixels, or none."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.pre_processor, self.model = shape, torch.nn.Identity(), self.mean

    def mean(self, image):
        found = torch.nn.functional.avg_pool2d(image[:, :1], 4)
        return SimpleNamespace(anomaly_map=None if self.shape is None else found.view(self.shape))


@needs_anomalib
class TestMapsOfAnotherSize:
    @pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 8, 8), (8, 8)])
    def test_are_resized_bilinearly_to_the_image(self, images, shape):
        from rgi.baselines.detectors.model import Detector, detect

        corrupted = torch.from_numpy(images[1][:2])
        found = detect(corrupted, Detector("coarse", settings, 32, Coarse(shape)), CPU).score
        coarse = torch.nn.functional.avg_pool2d((corrupted + 1) / 2, 4)
        expected = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear")
        assert np.allclose(found, expected[:, 0], atol=1e-6)

    @pytest.mark.parametrize("shape", [None, (1, 4, 4, 4), (64,)])
    def test_and_what_is_no_map_is_refused(self, images, shape):
        from rgi.baselines.detectors.model import Detector, detect

        coarse = Detector("coarse", settings, 32, Coarse(shape))
        with pytest.raises(InputError, match="methods: coarse: map of shape .* expected 1 x 1"):
            detect(torch.from_numpy(images[1][:1]), coarse, CPU)


@needs_anomalib
class TestBackbones:
    def test_a_given_file_fills_the_backbone(self, train, backbone):
        extractor = train("patchcore", arguments=RESNET).module.model.feature_extractor
        weights = torch.load(backbone, weights_only=True)
        filled = extractor.feature_extractor.state_dict()
        assert filled and all(torch.equal(filled[key], weights[key]) for key in filled)

    def test_a_file_in_torchvisions_cache_is_found(self, backbone, tmp_path, monkeypatch):
        """CFA's backbone is torchvision's; the cache's names end with a hash of the content."""
        from torchvision.models import ResNet18_Weights

        from rgi.baselines.detectors.model import build_detector

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        cached = tmp_path / "hub/checkpoints" / Path(ResNet18_Weights.DEFAULT.url).name
        cached.parent.mkdir(parents=True)
        cached.write_bytes(backbone.read_bytes())
        chosen = read_detector({"arguments": RESNET, "image_size": 64}, "settings")
        weights = torch.load(backbone, weights_only=True)["conv1.weight"]
        built = build_detector("cfa", chosen).module.state_dict()
        assert any(w.shape == weights.shape and torch.equal(w, weights) for w in built.values())

    @pytest.mark.parametrize("name", ["patchcore", "cfa"])
    def test_a_written_detector_needs_no_backbone_again(
        self, name, backbone, tmp_path, monkeypatch
    ):
        """Not the given file, which may be gone by then; nor a cache or a network."""
        from rgi.baselines.detectors.model import build_detector, load_detector, save_detector

        weights = tmp_path / "mine.pth"
        weights.write_bytes(backbone.read_bytes())
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        values = {"backbone_weights": str(weights), "sha256": digest, "image_size": 64}
        built = build_detector(name, read_detector({"arguments": RESNET, **values}, "settings"))
        save_detector(tmp_path / "detector.pt", built)
        weights.unlink()
        for home in ("TORCH_HOME", "HF_HOME"):
            monkeypatch.setenv(home, str(tmp_path))
        for proxy in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(proxy, "http://127.0.0.1:9")
        read = load_detector(tmp_path / "detector.pt").module.state_dict()

        expected = built.module.state_dict()
        assert read.keys() == expected.keys()
        assert all(torch.equal(read[key], expected[key]) for key in read)

    @pytest.mark.parametrize("name", ["patchcore", "cfa"])
    def test_missing_weights_are_named_with_the_remedy(self, name, tmp_path):
        """Nothing listens at the proxy's port, as on a machine without a network."""
        np.save(tmp_path / "train.npy", np.zeros((4, 32, 32, 1), np.uint8))
        arguments = ["--images", tmp_path / "train.npy", "--model", name]
        arguments += ["--settings", json.dumps({"arguments": RESNET})]
        home = {"TORCH_HOME": str(tmp_path), "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
        proxy = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
        failed = script(
            "train_detector.py", *arguments, "--directory", tmp_path / "out", **home, **proxy
        )
        assert failed.returncode == 1 and "Traceback" not in failed.stderr
        (line,) = [s for s in failed.stderr.splitlines() if s.startswith("error: ")]
        assert re.search("error: backbone .*(timm/resnet18|resnet18-f37072fd.pth)", line)
        assert "HF_HOME, TORCH_HOME" in line and "backbone_weights: PATH" in line
        assert not (tmp_path / "out/detector.pt").exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("nothing", "no such file"),
            ("text", "does not hold the weights of resnet18"),
            ("part", "does not hold the weights of resnet18"),
            ("hash", "sha256 is .*; expected 0000"),
        ],
    )
    def test_a_file_that_does_not_fit_is_refused(self, train, backbone, tmp_path, content, message):
        path, sha256 = tmp_path / "mine.pth", None
        if content == "text":
            path.write_text("not weights")
        elif content == "part":  # timm alone would leave the rest random
            weights = torch.load(backbone, weights_only=True)
            torch.save({k: v for k, v in weights.items() if not k.startswith("layer3")}, path)
        elif content == "hash":
            path, sha256 = backbone, "0" * 64
        with pytest.raises(InputError, match=message):
            train("patchcore", arguments=RESNET, backbone_weights=str(path), sha256=sha256)

    def test_the_right_hash_is_accepted(self, train, backbone):
        digest = hashlib.sha256(backbone.read_bytes()).hexdigest()
        weights = torch.load(backbone, weights_only=True)
        for given in (digest, digest.upper()):
            detector = train("padim", arguments=RESNET, sha256=given)
            assert detector.settings.sha256 == given
            extractor = detector.module.model.feature_extractor.feature_extractor
            assert torch.equal(extractor.state_dict()["conv1.weight"], weights["conv1.weight"])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"bakcbone": "resnet18"}, "'bakcbone' is unknown to patchcore; allowed: backbone"),
            ({"backbone": "resnet19"}, "patchcore could not be built .*resnet19"),
        ],
    )
    def test_a_bad_argument_is_named(self, train, arguments, message):
        with pytest.raises(InputError, match=message):
            train("patchcore", arguments=arguments)

    def test_a_missing_folder_of_textures_starts_no_download(self, train):
        with pytest.raises(InputError, match="dtd_dir: 'nowhere'; expected a folder"):
            train("draem", arguments={"dtd_dir": "nowhere"})

    def test_a_damaged_detector_is_named(self, tmp_path):
        from rgi.baselines.detectors.model import load_detector

        (tmp_path / "detector.pt").write_text("no")
        for name, message in (("detector.pt", "not a readable detector"), ("x.pt", "no such file")):
            with pytest.raises(InputError, match=f"{name}: {message}"):
                load_detector(tmp_path / name)


def fill_cache(home, backbone):
    """Lay weights down as a download from Hugging Face would."""
    from safetensors.torch import save_file

    repository = home / "hub/models--timm--resnet18.a1_in1k"
    for folder in ("refs", "snapshots/0"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs/main").write_text("0")
    weights = torch.load(backbone, weights_only=True)
    save_file(weights, repository / "snapshots/0/model.safetensors")


@needs_anomalib
def test_the_scripts_train_from_the_cache_and_write_a_restoration_file(images, backbone, tmp_path):
    train, corrupted, _ = images
    fill_cache(tmp_path, backbone)
    cache = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    np.save(tmp_path / "train.npy", train)
    index = np.array([2, 3, 5, 7, 11, 13])
    save_arrays(tmp_path / "case.npz", {"corrupted": corrupted, "index": index})
    values = {"arguments": RESNET, "image_size": 64}
    arguments = ["--images", tmp_path / "train.npy", "--model", "patchcore"]
    arguments += ["--settings", json.dumps(values), "--directory", tmp_path]
    trained = script("train_detector.py", *arguments, "--device", "cpu", **cache)
    assert trained.returncode == 0, trained.stderr
    arguments = ["--case", tmp_path / "case.npz", "--detector", tmp_path / "detector.pt"]
    arguments += ["--first", 1, "--last", 4, "--output", tmp_path / "0.npz", "--device", "cpu"]
    scored = script("restore_anomalib.py", *arguments)
    assert scored.returncode == 0, scored.stderr
    read = load_arrays(tmp_path / "0.npz", "restored", "score", "index", "seconds")
    assert np.isnan(read["restored"]).all() and read["restored"].shape == (3, 1, 32, 32)
    assert np.isfinite(read["score"]).all() and read["score"].shape == (3, 32, 32)
    assert read["index"].tolist() == [3, 5, 7] and read["seconds"].dtype == np.float64


@pytest.mark.slow
@needs_anomalib
def test_a_coreset_keeps_none_of_its_temporary_memory(tmp_path):
    """Without a fixed threshold of malloc's, these 1637 steps of 16 MB each took many GB."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 1), dtype=np.uint8)
    np.save(tmp_path / "train.npy", noise)
    values = {"arguments": {"pre_trained": False}, "image_size": 64}  # ResNet-18 shows nothing
    arguments = ["--images", tmp_path / "train.npy", "--model", "patchcore", "--device", "cpu"]
    arguments += ["--settings", json.dumps(values), "--directory", tmp_path]
    trained = script("train_detector.py", *arguments)
    assert trained.returncode == 0, trained.stderr
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert kilobytes < 4e6
