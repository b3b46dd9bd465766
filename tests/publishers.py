"""Archives in their publishers' layouts, of small images whose values tell them apart."""

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import lmdb
import numpy as np
from PIL import Image
from scipy.io import savemat

FACES = {f"img_align_celeba/{number:06}.jpg": 4 * number for number in range(1, 31)}


def encoded(array, kind="JPEG", **options):
    stream = io.BytesIO()
    options |= {"quality": 95} if kind == "JPEG" else {}
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def turned(data):
    """The same stored pixels, to be shown upside down (EXIF's orientation 3)."""
    exif = Image.Exif()
    exif[0x112] = 3
    return encoded(np.asarray(Image.open(io.BytesIO(data))), "PNG", exif=exif)


def plain(value, size=(24, 20), kind="JPEG"):
    """One colour picture of a single value; `size` is rows, columns."""
    return encoded(np.full((*size, 3), value, np.uint8), kind)


def zipped(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tarred(path, members, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def faces(changes=None):
    """CelebA's img_align_celeba.zip: 178 x 218 pixels each, here 20 x 24."""
    members = {name: plain(value) for name, value in FACES.items()}
    return {"img_align_celeba/": b""} | members | (changes or {})


def annotations(boxes):
    """A part's annotations of car_devkit.tgz: boxes by file name."""
    fields = [(name, "O") for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "fname")]
    rows = np.array([(*box, name) for name, box in boxes.items()], dtype=fields)
    stream = io.BytesIO()
    savemat(stream, {"annotations": rows})
    return stream.getvalue()


def car(value, box, size=(24, 40)):
    """A grey picture with a car of one value in its box (x1, y1, x2, y2: from 1, inclusive)."""
    picture = np.full((*size, 3), 128, np.uint8)
    left, top, right, bottom = box
    picture[top - 1 : bottom, left - 1 : right] = value
    return encoded(picture, "PNG")


def cars(parts=(12, 8)):
    """The members of cars_train.tgz, cars_test.tgz and car_devkit.tgz, by archive."""
    archives = {"car_devkit": {"devkit/README.txt": b"cars"}}
    for part, count, first in zip(("train", "test"), parts, (10, 200), strict=True):
        boxes = {f"{n:05}.jpg": (n, 2 + n % 3, 20 + n, 20) for n in range(1, count + 1)}
        archives[f"cars_{part}"] = {
            f"cars_{part}/{name}": car(first + number, box)
            for number, (name, box) in enumerate(boxes.items())
        }
        archives["car_devkit"][f"devkit/cars_{part}_annos.mat"] = annotations(boxes)
    return archives


def inspected(good, folders, suffix=".png", ending="", size=(20, 20)):
    """Products as MVTec AD and BTAD have them: images by value, a mask for each defect.

    `folders` maps PRODUCT/PART/KIND to the values of its images.
    """
    members = {}
    for folder, values in folders.items():
        product, part, kind = folder.split("/")
        for number, value in enumerate(values):
            image, mask = np.full((*size, 3), value, np.uint8), np.zeros(size, np.uint8)
            if kind != good:
                image[:10], mask[:10] = 250, 255
                name = f"{product}/ground_truth/{kind}/{number:03}{ending}.png"
                members[name] = encoded(mask, "PNG")
            kinds = {".bmp": "BMP", ".png": "PNG"}
            members[f"{product}/{part}/{kind}/{number:03}{suffix}"] = encoded(image, kinds[suffix])
    return members


def btad():
    """The members of btad.zip: product 01 has bitmaps, 02 and 03 of another size and kind."""
    members = {}
    for product, suffix, size in (("01", ".bmp", (20, 20)), ("03", ".png", (20, 30))):
        folders = {"train/ok": range(10, 22), "test/ok": range(30, 36), "test/ko": range(50, 55)}
        named = {f"{product}/{folder}": values for folder, values in folders.items()}
        members |= inspected("ok", named, suffix, size=size)
    return {f"BTech_Dataset_transformed/{name}": data for name, data in members.items()}


def mvtec():
    """The members of mvtec_anomaly_detection.tar.xz, two of its categories."""
    folders = {
        "train/good": range(10, 22),
        "test/good": range(30, 36),
        "test/crack": range(50, 53),
        "test/hole": range(60, 64),
    }
    members = {"readme.txt": b"MVTec AD", "license.txt": b"CC"}
    for category, more in (("bottle", 0), ("metal_nut", 100)):
        named = {f"{category}/{f}": [v + more for v in values] for f, values in folders.items()}
        members |= inspected("good", named, ending="_mask")
    return members


def lmdb_zipped(path, images):
    """One of LSUN's zip files: NAME/data.mdb and lock.mdb, images by their keys."""
    with tempfile.TemporaryDirectory() as folder:
        with lmdb.open(folder, map_size=1 << 24) as database, database.begin(write=True) as writing:
            for key, data in images.items():
                writing.put(key.encode(), data)
        files = {f"{path.stem}/{file.name}": file.read_bytes() for file in Path(folder).iterdir()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ({f"{path.stem}/": b""} | files).items():
            archive.writestr(name, data)
    return path
