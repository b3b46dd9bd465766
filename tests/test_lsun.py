"""LSUN's bedrooms: the publisher's parts, out of databases in zip files."""

import pickle

import numpy as np
import pytest
from publishers import encoded, lmdb_zipped, plain

from rgi.data import unpack
from rgi.data.lsun import LsunSettings, lsun_bedroom
from rgi.data.pictures import UnreadableImageError
from rgi.errors import InputError

NAMES = ("bedroom_train_lmdb", "bedroom_val_lmdb")


def bedrooms(first, count):
    """Images by keys that look like the publisher's, in their order."""
    return {f"{number:040x}": plain(first + number) for number in range(count)}


def packed(root, train=None, held_out=None):
    """Both zip files below `root`, and what they unpack to in root/unpacked."""
    parts = (train or bedrooms(10, 12), held_out or bedrooms(100, 8))
    paths = [lmdb_zipped(root / f"{n}.zip", p) for n, p in zip(NAMES, parts, strict=True)]
    for path in paths:
        unpack(path, root / "unpacked" / f"{path.stem}.mdb")
    return tuple(map(str, paths))


def opened(root, archive, seed=0, **changes):
    values = {"archive": archive, "resolution": 8, "test": 4, "unpacked": str(root / "unpacked")}
    return lsun_bedroom(LsunSettings(**values | changes), seed)


def values(images):
    return [round(float(image.mean())) for image in images]


def test_all_of_train_is_trained_on_and_the_test_images_are_drawn_of_validation(tmp_path):
    archive = packed(tmp_path)
    parts = opened(tmp_path, archive)
    assert values(parts.train) == list(range(10, 22))
    tested = values(parts.test)
    assert len(set(tested)) == 4 and set(tested) <= set(range(100, 108))
    assert values(opened(tmp_path, archive, seed=1).test) != tested
    described = parts.describe()
    assert "bedroom_val_lmdb.zip: no checksum is known" in described["source"]
    assert "bedroom_train_lmdb.zip: other bytes than" in described["source"]


def test_the_central_square_is_taken(tmp_path):
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None] * 5, (20, 40, 3))
    archive = packed(tmp_path, held_out={f"{n:040x}": encoded(ramp) for n in range(4)})
    image = next(iter(opened(tmp_path, archive, resolution=20).test))
    assert np.abs(image[10, [0, -1], 0] / 5 - [10, 29]).max() < 0.5


def test_folders_that_were_unpacked_by_hand_do_as_well(tmp_path):
    archive = packed(tmp_path)
    folders = []
    for name in NAMES:
        folder = tmp_path / "own" / name
        folder.mkdir(parents=True)
        (tmp_path / "unpacked" / f"{name}.mdb").rename(folder / "data.mdb")
        folders.append(str(folder))
    assert values(opened(tmp_path, tuple(folders), unpacked=None).train) == list(range(10, 22))
    with pytest.raises(InputError, match="train_lmdb.zip: has to be unpacked to .*_lmdb.mdb first"):
        opened(tmp_path, archive)


def test_what_cannot_be_decoded_and_twins_of_test_images_are_of_no_use(tmp_path):
    train, held_out = bedrooms(10, 12), bedrooms(100, 8)
    broken, twin = list(train)[:2]
    train |= {broken: b"no picture", twin: held_out[list(held_out)[3]]}
    read = opened(tmp_path, packed(tmp_path, train, held_out), test=8).train.read
    again = pickle.loads(pickle.dumps(read))
    for reader in (read, again):
        with pytest.raises(UnreadableImageError, match="not an image"):
            reader(broken)
        with pytest.raises(UnreadableImageError, match="duplicate of 0+3"):
            reader(twin)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": 9}, "test: 9; of 8 held-out images 8 can be read"),
        ({"archive": ("a/bedroom_val_lmdb.zip", "b.zip")}, "allowed: two zip files or folders"),
        ({"archive": tuple(f"{name}.zip" for name in NAMES)}, "no such file or folder"),
        ({"unpacked": None}, "has to be unpacked to bedroom_train_lmdb.mdb first"),
        ({"resolution": 0}, "resolution: 0; must be at least 1"),
    ],
)
def test_a_setting_of_no_use_is_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=f"datasets: lsun-bedroom: .*{message}"):
        opened(tmp_path, **{"archive": packed(tmp_path)} | changes)
