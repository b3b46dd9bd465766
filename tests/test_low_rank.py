"""RPCA and RASL recover what was planted; a test image is split by itself beside clean ones."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from rgi.baselines import LOW_RANK, decompose_images, draw_references
from rgi.baselines.alignment import align, inverse, reach_of, stays_inside, warp
from rgi.baselines.robust_pca import decompose, shrink_rank, standard_weight
from rgi.errors import InputError
from rgi.files import load_arrays, save_arrays

SCRIPT = Path(__file__).parent.parent / "workflow" / "scripts" / "restore_low_rank.py"
SIDE = 32
FEW = {"references": 24}


def low_rank_images(count, channels=1, seed=0, side=SIDE):
    """Mixtures of the same four pictures: rank 4; N x C x H x W in [-1, 1]."""
    pictures = np.random.default_rng(7).uniform(0, 1, (4, channels, side, side))
    weights = np.random.default_rng(seed).dirichlet(np.ones(4), count)
    return (2 * np.einsum("nk,kchw->nchw", weights, pictures) - 1).astype(np.float32)


def with_square(images, size=7, seed=1):
    """Images with a square of noise each, and where it lies."""
    generator = np.random.default_rng(seed)
    images, mask = images.copy(), np.zeros((len(images), *images.shape[2:]), dtype=bool)
    for row, (top, left) in enumerate(generator.integers(4, SIDE - 4 - size, (len(images), 2))):
        place = (slice(top, top + size), slice(left, left + size))
        mask[row][place] = True
        images[row, :, *place] = generator.uniform(-1, 1, (images.shape[1], size, size))
    return images, mask


class TestRobustPCA:
    def test_recovers_a_planted_low_rank_and_a_sparse_matrix(self):
        generator = np.random.default_rng(0)
        low_rank = generator.normal(size=(400, 5)) @ generator.normal(size=(5, 400))
        sparse = np.zeros(400 * 400)
        wrong = generator.choice(sparse.size, sparse.size // 10, replace=False)
        sparse[wrong] = generator.uniform(-10, 10, len(wrong))
        sparse = sparse.reshape(400, 400)
        found = decompose(low_rank + sparse, standard_weight((400, 400)))
        for part, planted in ((found.low_rank, low_rank), (found.sparse, sparse)):
            assert np.linalg.norm(part - planted) < 1e-5 * np.linalg.norm(planted)
        assert np.linalg.matrix_rank(found.low_rank, 1e-5) == 5

    @pytest.mark.parametrize("shape", [(60, 25), (25, 60)])
    @pytest.mark.parametrize("multiple", [0.5, 1, 3])
    def test_comes_near_the_optimum_of_what_has_no_exact_low_rank(self, shape, multiple):
        """Any Y with ||Y||_2 <= 1 and |Y| <= lam bounds the optimum from below by <Y, D>."""
        data = np.random.default_rng(1).uniform(0, 1, shape)
        lam = multiple * standard_weight(shape)
        bound = np.vdot(slow_multiplier(data, lam), data)
        found = decompose(data, lam)
        assert np.linalg.norm(found.low_rank + found.sparse - data) <= 1e-7 * np.linalg.norm(data)
        assert bound <= found.objective(lam) * (1 + 1e-6)
        assert found.objective(lam) < bound * (1 + 2e-3)

    def test_a_large_weight_leaves_nothing_sparse_and_a_small_one_nothing_else(self):
        data = np.random.default_rng(2).normal(size=(30, 20))
        assert np.abs(decompose(data, 1.0).sparse).max() == 0
        assert np.abs(decompose(data, 0.01).low_rank).max() == 0

    def test_zeros_are_both(self):
        found = decompose(np.zeros((6, 4)), 0.1)
        assert not found.low_rank.any() and not found.sparse.any()

    def test_a_column_moves_along_its_basis_to_where_the_rank_is_low(self):
        generator = np.random.default_rng(3)
        planted = np.outer(generator.normal(size=300), generator.uniform(1, 2, 30))
        basis, _ = np.linalg.qr(generator.normal(size=(300, 2)))
        data = planted.copy()
        data[:, 4] -= basis @ [0.7, -0.4]
        found = decompose(data, standard_weight(data.shape), {4: basis})
        assert found.steps[4] == pytest.approx([0.7, -0.4], abs=1e-4)
        assert np.allclose(found.low_rank, planted, atol=1e-4)

    @pytest.mark.parametrize("shape", [(50, 20), (20, 50), (20, 20)])
    def test_singular_values_shrink_as_by_numpy_s_decomposition(self, shape):
        matrix = np.random.default_rng(4).normal(size=shape)
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        expected = left * np.maximum(values - 2, 0) @ right
        assert np.allclose(shrink_rank(matrix, 2), expected, atol=1e-12)
        assert not shrink_rank(matrix, values[0] * 1.01).any()


def slow_multiplier(data, lam):
    """The dual variable by 2000 steps with a fixed penalty, scaled to be feasible."""
    penalty = 4 / np.linalg.norm(data, 2)
    sparse, multiplier = np.zeros_like(data), np.zeros_like(data)
    for _ in range(2000):
        left, values, right = np.linalg.svd(
            data - sparse + multiplier / penalty, full_matrices=False
        )
        low_rank = left * np.maximum(values - 1 / penalty, 0) @ right
        rest = data - low_rank + multiplier / penalty
        sparse = np.sign(rest) * np.maximum(np.abs(rest) - lam / penalty, 0)
        multiplier = penalty * (rest - sparse)
    return multiplier / max(1, np.linalg.norm(multiplier, 2), np.abs(multiplier).max() / lam)


def mixture(generator, variety=0.3):
    """Weights of three pictures, the first of which is in all."""
    return generator.uniform(0.7, 1) * np.array([0.7, *generator.uniform(0, 1, 2) * variety])


class Scene:
    """Mixtures of three pictures, known between their pixels, that shift and rotate: rank 3."""

    def __init__(self, side=48):
        generator = np.random.default_rng(5)
        self.side, self.half = side, (side - 1) / 2
        self.waves = generator.normal(0, 3, (3, 12, 2)) * 2 * np.pi / side
        self.phases = generator.uniform(0, 2 * np.pi, (3, 12, 1))

    def seen(self, pose, weights):
        """1 x H x W, read at pose (y; 1) for the pixels y, in pixels from the centre."""
        axis = np.arange(self.side) - self.half
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij")).reshape(2, -1)
        place = pose @ np.vstack([grid, np.ones(grid.shape[1])])
        pictures = 0.5 + 0.04 * np.cos(self.waves @ place + self.phases).sum(axis=1)
        return (weights @ pictures).reshape(1, self.side, self.side)

    def views(self, count, seed, defects, variety=0.3):
        """Images with a square each, N x 1 x H x W, and their poses N x 2 x 3 in pixels."""
        generator = np.random.default_rng(seed)
        poses, images = [], []
        for _ in range(count):
            angle, shift = np.deg2rad(generator.uniform(-4, 4)), generator.uniform(-2, 2, 2)
            cos, sin = np.cos(angle), np.sin(angle)
            poses.append(np.column_stack([[[cos, -sin], [sin, cos]], shift]))
            image = self.seen(poses[-1], mixture(generator, variety))
            if defects:
                top, left = generator.integers(0, self.side - 6, 2)
                image[0, top : top + 6, left : left + 6] = generator.uniform()
            images.append(image)
        return np.stack(images), np.stack(poses)

    def after(self, poses, maps):
        """Poses of the warped images, N x 2 x 3."""
        linear = np.eye(2) + maps[:, :, :2]
        shift = np.einsum("nij,nj->ni", poses[:, :, :2], maps[:, :, 2] * self.half)
        return np.concatenate(
            [poses[:, :, :2] @ linear, (shift + poses[:, :, 2])[..., None]], axis=2
        )

    def apart(self, poses, common):
        """How many pixels apart two poses see each pixel, N x H x W."""
        axis = np.arange(self.side) - self.half
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij")).reshape(2, -1)
        return np.linalg.norm((poses - common) @ np.vstack([grid, np.ones(grid.shape[1])]), axis=1)

    def furthest(self, poses, common):
        """Over all images and pixels, corners included."""
        return self.apart(poses, common).max()

    def typical(self, poses, common):
        """Root mean square over all images and pixels."""
        return np.sqrt(np.square(self.apart(poses, common)).mean())


@pytest.fixture(scope="module")
def scene():
    return Scene()


class TestAlignment:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_recovers_planted_shifts_and_rotations_but_for_a_common_map(self, scene, seed):
        images, poses = scene.views(30, seed, defects=True, variety=0)
        assert scene.furthest(poses, poses.mean(axis=0)) > 3
        aligned = scene.after(poses, align(images, 1, iterations=30, reach=0.15))
        assert scene.furthest(aligned, aligned.mean(axis=0)) < 0.3

    @pytest.mark.parametrize("seed", [1, 2])
    def test_recovers_them_on_average_where_images_differ_in_more_than_brightness(
        self, scene, seed
    ):
        """A higher rank can take up a part of the motion, which lowers the objective."""
        images, poses = scene.views(30, seed, defects=True)
        assert scene.typical(poses, poses.mean(axis=0)) > 1
        aligned = scene.after(poses, align(images, 1, iterations=30, reach=0.15))
        assert scene.typical(aligned, aligned.mean(axis=0)) < 0.3

    def test_aligns_each_image_to_others_that_are_aligned(self, scene):
        generator = np.random.default_rng(9)
        still = np.eye(2, 3)
        fixed = np.stack([scene.seen(still, mixture(generator)) for _ in range(30)])
        images, poses = scene.views(6, seed=1, defects=True)
        images = np.stack([scene.seen(still, mixture(generator)), *images])
        maps = np.stack([align(image[None], 1, 30, 0.15, fixed)[0] for image in images])
        assert scene.furthest(scene.after(np.stack([still, *poses]), maps), still) < 0.3
        assert reach_of(maps[0]) * scene.side < 0.05  # the one that needs no map gets none

    def test_maps_have_no_common_part_and_keep_within_reach(self, scene):
        images, _ = scene.views(12, seed=2, defects=True)
        maps = align(images, 1, iterations=20, reach=0.02)
        assert max(map(reach_of, maps)) == pytest.approx(0.02)
        maps = align(images, 1, iterations=20, reach=0.2)
        assert np.abs(maps.mean(axis=0)).max() < 1e-9

    def test_flat_and_black_images_stay_where_they_are(self):
        images = np.stack([np.full((1, 16, 16), value) for value in (0, 0.2, 0.5, 1)])
        assert not align(images, 1, iterations=5, reach=0.1).any()

    def test_a_shift_by_whole_pixels_reads_the_pixels(self):
        image = np.random.default_rng(0).uniform(0, 1, (2, 9, 11))
        down, right = 2 * 2 / 8, 3 * 2 / 10
        shifted = warp(image, np.array([[0, 0, down], [0, 0, right]]))
        assert np.allclose(shifted[:, :7, :8], image[:, 2:, 3:], atol=1e-12)
        inside = stays_inside((9, 11), np.array([[0, 0, down], [0, 0, right]]))
        assert inside[:7, :8].all() and inside.sum() == 7 * 8

    def test_a_quarter_turn_turns(self):
        image = np.random.default_rng(0).uniform(0, 1, (1, 8, 8))
        turn = np.array([[0.0, 1], [-1, 0]]) - np.eye(2)
        turned = warp(image, np.column_stack([turn, [0, 0]]))
        assert np.allclose(turned[0], np.rot90(image[0]), atol=1e-9)

    def test_the_inverse_undoes_a_map(self):
        affine = np.random.default_rng(0).uniform(-0.2, 0.2, (2, 3))
        there, back = (np.vstack([m, [0, 0, 0]]) + np.eye(3) for m in (affine, inverse(affine)))
        assert np.allclose(there @ back, np.eye(3))


@pytest.mark.parametrize("method", LOW_RANK)
class TestEveryMethod:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_follows_the_contract(self, method, channels):
        images, _ = with_square(low_rank_images(3, channels, seed=3))
        found = decompose_images(images, low_rank_images(24, channels), method, 1)
        assert found.restored.shape == images.shape and found.restored.dtype == np.float32
        assert found.score.shape == (3, SIDE, SIDE) and found.score.dtype == np.float32
        assert found.seconds.shape == (3,) and (found.seconds > 0).all()
        assert np.abs(found.restored).max() <= 1 and (found.score >= 0).all()

    def test_treats_an_image_alone_as_in_the_set(self, method):
        images, _ = with_square(low_rank_images(3, seed=3))
        references = low_rank_images(24)
        together = decompose_images(images, references, method, 1)
        for row in range(3):
            alone = decompose_images(images[row : row + 1], references, method, 1)
            assert np.array_equal(alone.restored[0], together.restored[row])
            assert np.array_equal(alone.score[0], together.score[row])

    @pytest.mark.parametrize("channels", [1, 3])
    def test_finds_a_planted_defect_and_what_it_hides(self, method, channels):
        clean = low_rank_images(4, channels, seed=3)
        images, mask = with_square(clean)
        found = decompose_images(images, low_rank_images(40, channels), method, 1)
        assert roc_auc_score(mask.ravel(), found.score.ravel()) > 0.98
        hidden = np.broadcast_to(mask[:, None], clean.shape)
        wrong, left = (np.abs(x - clean)[hidden].mean() for x in (images, found.restored))
        assert left < 0.05 * wrong

    def test_a_large_lambda_finds_nothing(self, method):
        images, _ = with_square(low_rank_images(2, seed=3))
        assert decompose_images(images, low_rank_images(24), method, 100).score.max() < 1e-6

    def test_a_bad_setting_is_named(self, method):
        images, references = low_rank_images(2), low_rank_images(8)
        for lam in (None, 0.0, -1.0, float("nan")):
            with pytest.raises(InputError, match=f"{method}: lam: .*; expected a number greater"):
                decompose_images(images, references, method, lam)
        with pytest.raises(InputError, match="references: 1; must be at least 2"):
            decompose_images(images, references, method, 1, {"references": 1})
        with pytest.raises(InputError, match="unknown key 'rank'; allowed: references"):
            decompose_images(images, references, method, 1, {"rank": 1})
        small = low_rank_images(8, side=16)
        with pytest.raises(InputError, match=r"training images \(1, 16, 16\); .* \(1, 32, 32\)"):
            decompose_images(images, small, method, 1)


def test_rasl_finds_a_defect_on_images_that_move_at_its_place_in_the_image(scene):
    references, _ = scene.views(40, seed=1, defects=False)
    clean, _ = scene.views(3, seed=2, defects=False)
    images, mask = clean.copy(), np.zeros((3, scene.side, scene.side), dtype=bool)
    mask[:, 15:22, 25:33] = True
    images[:, 0][mask] -= 0.08  # about one standard deviation of the texture
    references, images = (2 * x.astype(np.float32) - 1 for x in (references, images))
    rasl = decompose_images(images, references, "rasl", 1.5, {"reach": 0.15})
    rpca = decompose_images(images, references, "rpca", 1.5)
    found = roc_auc_score(mask.ravel(), rasl.score.ravel())
    off = [np.abs((x.restored + 1) / 2 - clean)[mask[:, None]].mean() for x in (rasl, rpca)]
    assert found > 0.98
    assert off[0] < 0.1 * off[1]


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("pca", {}, "low-rank: 'pca'; allowed: rpca, rasl"),
        ("rpca", {"reach": 0.1}, "unknown key 'reach'; allowed: references"),
        ("rasl", {"reach": 0.3}, "reach: 0.3; must lie above 0 and be at most 0.25"),
        ("rasl", {"reach": 0.0}, "reach: 0.0; must lie above 0"),
        ("rasl", {"iterations": 0}, "iterations: 0; must be at least 1"),
    ],
)
def test_a_setting_of_one_method_is_checked(method, settings, message):
    with pytest.raises(InputError, match=message):
        decompose_images(low_rank_images(2), low_rank_images(8), method, 1, settings)


class TestReferences:
    def test_are_drawn_by_the_seed_without_repetition(self):
        drawn = draw_references(500, "rpca", {"references": 60}, seed=1)
        assert len(set(drawn)) == 60 and drawn.min() >= 0 and drawn.max() < 500
        assert np.array_equal(drawn, draw_references(500, "rpca", {"references": 60}, seed=1))
        assert not np.array_equal(drawn, draw_references(500, "rpca", {"references": 60}, seed=2))

    def test_fewer_are_a_part_of_more_and_all_are_taken_where_there_are_fewer(self):
        few, many = (draw_references(500, "rasl", {"references": n}, 1) for n in (20, 60))
        assert set(few) < set(many)
        assert draw_references(30, "rasl", {}, 1).tolist() == list(range(30))
        assert len(draw_references(300, "rpca", {}, 1)) == 100

    def test_one_training_image_is_too_few(self):
        with pytest.raises(InputError, match="rpca: training images: 1; must be at least 2"):
            draw_references(1, "rpca", {}, 1)


def test_the_script_restores_one_shard(tmp_path):
    train = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "train.npy", train)
    images = np.random.default_rng(1).uniform(-1, 1, (4, 3, 16, 16)).astype(np.float32)
    save_arrays(tmp_path / "case.npz", {"corrupted": images, "index": np.array([7, 8, 11, 12])})

    def call(first, last, lam=1.5):
        options = {"case": tmp_path / "case.npz", "train": tmp_path / "train.npy", "lam": lam}
        options |= {"method": "rpca", "settings": json.dumps(FEW), "first": first, "last": last}
        options |= {"seed": 3, "output": tmp_path / "out.npz"}
        command = [
            sys.executable,
            SCRIPT,
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        return subprocess.run(command, capture_output=True, text=True)

    done = call(1, 3)
    assert done.returncode == 0, done.stderr
    read = load_arrays(tmp_path / "out.npz", "restored", "score", "index", "seconds")
    drawn = train[draw_references(30, "rpca", FEW, 3)]
    references = (np.moveaxis(drawn, -1, 1) / 127.5 - 1).astype(np.float32)
    expected = decompose_images(images[1:3], references, "rpca", 1.5)
    assert np.allclose(read["restored"], expected.restored, atol=1e-5)
    assert np.allclose(read["score"], expected.score, atol=1e-5)
    assert read["index"].tolist() == [8, 11] and read["seconds"].dtype == np.float64
    for arguments, message in (((2, 5), "rows 0 to 4"), ((1, 3, "none"), "lam: none; expected")):
        failed = call(*arguments)
        assert failed.returncode == 1 and message in failed.stderr
