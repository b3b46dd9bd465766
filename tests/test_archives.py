"""Archives are read in place; one that is not safe is refused, and nothing is written outside."""

import errno
import gzip
import io
import lzma
import multiprocessing
import os
import pickle
import resource
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from publishers import lmdb_zipped, tarred, zipped

from rgi.data.archives import LARGEST, RATIO, open_members, unpack, unpacked_name
from rgi.data.pictures import UnreadableImageError
from rgi.errors import InputError

FILES = {"a/1.jpg": b"one", "a/2.jpg": b"two" * 1000, "b/3.jpg": b""}


def written(root):
    """Every file below `root` with its bytes."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def linked(path, kind, target):
    """A tar file with an image and a link, or device, called link.jpg."""
    with tarfile.open(path, "w") as archive:
        image = tarfile.TarInfo("a/1.jpg")
        image.size = 3
        archive.addfile(image, io.BytesIO(b"one"))
        link = tarfile.TarInfo("a/link.jpg")
        link.type, link.linkname = kind, target
        archive.addfile(link)
    return path


def linked_zip(path, target):
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("a/link.jpg")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, target)
    return path


def bomb(path, opener=None):
    """A file that unpacks to 900 times its size, at least."""
    zeros = bytes(1 << 20)
    if path.suffix == ".zip":  # overlapping members have the same effect as this member's size
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/1.jpg", zeros * 64)
    else:
        with opener(path, "wb") as stream:
            for _ in range(64):
                stream.write(zeros)
    return path


# Reading in place


@pytest.fixture(params=["zip", "deflated", "tar", "folder"])
def members(request, tmp_path):
    if request.param == "tar":
        path = tarred(tmp_path / "a.tar", FILES)
    elif request.param == "folder":
        path = tmp_path / "folder"
        for name, data in FILES.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    else:
        path = tmp_path / "a.zip"
        how = zipfile.ZIP_DEFLATED if request.param == "deflated" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", how) as archive:
            archive.writestr("a/", b"")
            for name, data in FILES.items():
                archive.writestr(name, data)
    return open_members(str(path), "here")


def test_files_are_listed_and_read_by_name(members):
    assert members.names == list(FILES)
    assert {name: members.read(name) for name in members.names} == FILES


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_any_process_reads_them(members, start):
    again = pickle.loads(pickle.dumps(members))
    assert again.names == members.names and len(pickle.dumps(members)) < 500
    with multiprocessing.get_context(start).Pool(2) as pool:
        assert pool.map(members.read, list(FILES) * 20) == list(FILES.values()) * 20


def test_a_zip_file_s_directory_is_read_once_for_all_forked_processes(tmp_path, monkeypatch):
    """CelebA's takes 200 MB and seconds. Nor do they share a place in the file."""
    files = {f"{number:03}.jpg": f"{number:03}".encode() * 1000 for number in range(200)}
    members = open_members(str(zipped(tmp_path / "a.zip", files)), "here")
    monkeypatch.setattr("rgi.data.archives.open_zip", None)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(members.read, list(files) * 5, chunksize=1) == list(files.values()) * 5


def test_an_archive_that_is_written_anew_is_read_anew(tmp_path):
    path = zipped(tmp_path / "a.zip", {"1.jpg": b"old"})
    assert open_members(str(path), "here").read("1.jpg") == b"old"
    zipped(path, {"1.jpg": b"newer"})
    assert open_members(str(path), "here").read("1.jpg") == b"newer"


def test_a_damaged_member_is_of_no_use(tmp_path):
    path = zipped(tmp_path / "a.zip", FILES)
    path.write_bytes(path.read_bytes().replace(b"twotwo", b"twoTwo"))
    members = open_members(str(path), "here")
    assert members.read("a/1.jpg") == b"one"
    with pytest.raises(UnreadableImageError, match="CRC"):
        members.read("a/2.jpg")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.zip", b"PK no zip file", "not a whole zip file"),
        ("a.tar", b"no tar file" * 100, "not a whole zip or tar file"),
        ("a.mdb", b"no database" * 1000, "not a whole LMDB database"),
        ("a.tgz", b"", "has to be unpacked to a.tar first"),
        (None, None, "nowhere: no such file or folder"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path, name, data, message):
    path = tmp_path / (name or "nowhere")
    if name:
        path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        open_members(str(path), "here")


def test_a_truncated_tar_file_is_named(tmp_path):
    path = tarred(tmp_path / "a.tar", FILES)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"a.tar: not a whole"):
        open_members(str(path), "here")


def test_a_tar_file_that_ends_with_a_zip_file_is_a_tar_file(tmp_path):
    inner = zipped(tmp_path / "inner.zip", {"1.jpg": b"one"}).read_bytes()
    for name in ("a.tar", "a.bin"):
        path = tarred(tmp_path / name, FILES | {"c/inner.zip": inner})
        assert open_members(str(path), "here").names == [*FILES, "c/inner.zip"]


def with_size(path, size):
    """A tar file of two members, of which the second says that it has so many bytes."""
    second = bytearray(tarfile.TarInfo("2.jpg").tobuf(tarfile.GNU_FORMAT))
    second[124:136] = size.to_bytes(12, "big", signed=True)
    second[148:156] = b" " * 8
    second[148:156] = b"%06o\0 " % sum(second)
    path.write_bytes(tarfile.TarInfo("1.jpg").tobuf() + second + bytes(1024))
    return path


@pytest.mark.parametrize("size", [-1, -512, -1024, -(1 << 40)])
def test_a_negative_size_in_a_tar_file_is_named(tmp_path, size):
    path = with_size(tmp_path / "a.tar", size)
    with pytest.raises(InputError, match=r"a.tar: not a whole zip or tar file"):
        open_members(str(path), "here")
    with gzip.open(tmp_path / "a.tgz", "wb") as stream:
        stream.write(path.read_bytes())
    with pytest.raises(InputError, match="a.tgz: damaged"):
        unpack(tmp_path / "a.tgz", tmp_path / "out" / "a.tar")


@pytest.mark.parametrize("size", ["-1024", str(1 << 80)])
def test_an_impossible_size_in_an_extended_header_is_named(tmp_path, size):
    member = tarfile.TarInfo("1.jpg")
    member.pax_headers = {"size": size}
    path = tmp_path / "a.tar"
    path.write_bytes(tarfile.TarInfo("0.jpg").tobuf() + member.tobuf(tarfile.PAX_FORMAT))
    with pytest.raises(InputError, match=r"a.tar: not a whole zip or tar file"):
        open_members(str(path), "here")


# Archives that are not safe

OUTSIDE = ["../x.jpg", "a/../../x.jpg", "/tmp/x.jpg", "..\\x.jpg", "C:\\x.jpg", "\\\\host\\x.jpg"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_member_outside_of_its_archive_is_refused(tmp_path, name, make):
    path = make(tmp_path / "deep" / "a.bin", FILES | {name: b"evil"})
    before = written(tmp_path)
    with pytest.raises(InputError, match="would leave the archive's folder; refused"):
        open_members(str(path), "here")
    assert written(tmp_path) == before


@pytest.mark.parametrize("name", OUTSIDE)
def test_unpacking_refuses_it_as_well(tmp_path, name):
    path = tarred(tmp_path / "deep" / "a.tgz", FILES | {name: b"evil"}, "w:gz")
    before = written(tmp_path)
    with pytest.raises(InputError, match="a.tgz: .* would leave the archive's folder; refused"):
        unpack(path, tmp_path / "deep" / "out" / "a.tar")
    assert written(tmp_path) == before


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "1.jpg"])
def test_a_link_or_device_is_refused(tmp_path, kind, target):
    path = linked(tmp_path / "a.tar", kind, target)
    with pytest.raises(InputError, match="link.jpg': is a link or device; refused"):
        open_members(str(path), "here")
    with gzip.open(tmp_path / "a.tgz", "wb") as stream:
        stream.write(path.read_bytes())
    with pytest.raises(InputError, match="a.tgz: .*link.jpg': is a link or device; refused"):
        unpack(tmp_path / "a.tgz", tmp_path / "out" / "a.tar")
    assert not list((tmp_path / "out").iterdir())


def test_a_link_in_a_zip_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="link.jpg': is a link; refused"):
        open_members(str(linked_zip(tmp_path / "a.zip", "/etc/passwd")), "here")


def test_a_zip_file_that_unpacks_to_far_more_than_it_holds_is_refused(tmp_path):
    path = bomb(tmp_path / "a.zip")
    assert (64 << 20) / path.stat().st_size > 900
    with pytest.raises(InputError, match=f"more than {RATIO} times its own size; refused"):
        open_members(str(path), "here")


@pytest.mark.parametrize(("suffix", "opener"), [(".tgz", gzip.open), (".tar.xz", lzma.open)])
def test_unpacking_stops_when_far_more_comes_out_than_went_in(tmp_path, suffix, opener):
    path = bomb(tmp_path / f"a{suffix}", opener)
    with pytest.raises(InputError, match=f"unpacks to more than {RATIO} times its size; refused"):
        unpack(path, tmp_path / "out" / "a.tar")
    assert not list((tmp_path / "out").iterdir())


def test_a_database_that_unpacks_to_far_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "bedroom_val_lmdb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bedroom_val_lmdb/data.mdb", bytes(96 << 20))
    assert (96 << 20) / path.stat().st_size > 900
    with pytest.raises(InputError, match=f"more than {RATIO} times its own size; refused"):
        unpack(path, tmp_path / "out" / "bedroom_val_lmdb.mdb")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def lying(path, how):
    """A zip file whose directory says 1000 bytes of a member that unpacks to 64 MiB."""
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("a/1.jpg", bytes(64 << 20))
    size = (64 << 20).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    return path


def test_of_a_member_that_says_it_is_smaller_than_it_is_no_more_is_unpacked(tmp_path):
    members = open_members(str(lying(tmp_path / "a.zip", zipfile.ZIP_DEFLATED)), "here")
    tracemalloc.start()
    with pytest.raises(UnreadableImageError, match="CRC"):
        members.read("a/1.jpg")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_knows_no_pieces_is_refused(tmp_path, how):
    path = lying(tmp_path / "a.zip", how)
    with pytest.raises(InputError, match=r"is compressed by (bzip2|lzma); allowed: stored, defl"):
        open_members(str(path), "here")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("before", [0, 1])
def test_a_tar_file_s_extended_headers_are_bounded(tmp_path, kind, before):
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = kind, 32 << 20
    path = tmp_path / "a.tar"
    first = tarfile.TarInfo("1.jpg").tobuf() * before
    path.write_bytes(first + header.tobuf() + b"1" * (32 << 20) + bytes(1024))
    tracemalloc.start()
    with pytest.raises(InputError, match="extended header of 33554432 bytes; at most 1048576 are"):
        open_members(str(path), "here")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_long_names_are_read(tmp_path):
    name = "/".join(["folder" * 20] * 5) + ".jpg"
    assert open_members(str(tarred(tmp_path / "a.tar", {name: b"1"})), "here").names == [name]


def test_a_member_too_large_for_the_memory_is_of_no_use(tmp_path, monkeypatch):
    assert LARGEST >= 64 << 20
    monkeypatch.setattr("rgi.data.archives.LARGEST", 1000)
    for make, name in ((zipped, "a.zip"), (tarred, "a.tar")):
        members = open_members(str(make(tmp_path / name, FILES)), "here")
        with pytest.raises(UnreadableImageError, match="3000 bytes; at most 1000 are read"):
            members.read("a/2.jpg")


# Unpacking


@pytest.mark.parametrize(
    ("name", "unpacked"),
    [
        ("cars_train.tgz", "cars_train.tar"),
        ("x/mvtec_anomaly_detection.tar.xz", "mvtec_anomaly_detection.tar"),
        ("bedroom_val_lmdb.zip", "bedroom_val_lmdb.mdb"),
        ("img_align_celeba.zip", None),
        ("cars_train.tar", None),
    ],
)
def test_what_has_to_be_unpacked_is_known_by_its_name(name, unpacked):
    assert unpacked_name(name) == unpacked


@pytest.mark.parametrize(("suffix", "mode"), [(".tgz", "w:gz"), (".tar.xz", "w:xz")])
def test_a_compressed_tar_file_is_unpacked_to_one_that_is_not(tmp_path, suffix, mode):
    path = tarred(tmp_path / f"a{suffix}", FILES, mode)
    unpack(path, tmp_path / "out" / "a.tar")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["a.tar"]
    members = open_members(str(path), "here", str(tmp_path / "out"))
    assert {name: members.read(name) for name in members.names} == FILES


def test_a_database_is_unpacked_and_read_by_keys(tmp_path):
    path = lmdb_zipped(tmp_path / "bedroom_val_lmdb.zip", {"k2": b"two", "k1": b"one"})
    unpack(path, tmp_path / "out" / "bedroom_val_lmdb.mdb")
    members = open_members(str(path), "here", str(tmp_path / "out"))
    assert members.names == ["k1", "k2"] and members.read("k2") == b"two"
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert (
            pool.map(pickle.loads(pickle.dumps(members)).read, ["k1", "k2"] * 10)
            == [
                b"one",
                b"two",
            ]
            * 10
        )
    with pytest.raises(UnreadableImageError, match="not in the database"):
        members.read("k3")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["bedroom_val_lmdb.mdb"]


@pytest.mark.parametrize("alone", [True, False], ids=["file", "folder"])
def test_a_truncated_database_is_refused_before_it_is_read(tmp_path, alone):
    """A folder of one's own has no checksum; what is missing at its end would kill the process."""
    zip_file = lmdb_zipped(tmp_path / "b_lmdb.zip", {f"k{n}": os.urandom(9000) for n in range(9)})
    path = tmp_path / "b" / "data.mdb"
    unpack(zip_file, path)
    size = path.stat().st_size
    os.truncate(path, size - 4096)
    with pytest.raises(InputError, match=f"not a whole LMDB .*{size - 4096} of {size} bytes"):
        open_members(str(path if alone else path.parent), "here")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: tarred(root / "a.tgz", FILES, "w:gz"), "a.tgz: damaged"),
        (lambda root: tarred(root / "a.tar.xz", FILES, "w:xz"), "a.tar.xz: damaged"),
        (lambda root: tarred(root / "a.tar.bz2", FILES, "w:bz2"), "a.tar.bz2: damaged"),
        (lambda root: lmdb_zipped(root / "b_lmdb.zip", {"k": b"1"}), "b_lmdb.zip: damaged"),
    ],
)
def test_what_is_truncated_leaves_nothing(tmp_path, make, message):
    path = make(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=message):
        unpack(path, tmp_path / "out" / "x")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(("suffix", "mode"), [(".tgz", "w:gz"), (".tar.bz2", "w:bz2")])
def test_what_is_changed_in_its_middle_is_damaged(tmp_path, suffix, mode):
    path = tarred(tmp_path / f"a{suffix}", {"a/1.jpg": os.urandom(50_000)}, mode)
    data = bytearray(path.read_bytes())
    data[20_000:20_100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"a{suffix}: damaged"):
        unpack(path, tmp_path / "out" / "a.tar")


def test_a_full_disk_is_not_called_damage(tmp_path):
    path = tarred(tmp_path / "a.tgz", {"a/1.jpg": os.urandom(200_000)}, "w:gz")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError) as caught:
            unpack(path, tmp_path / "out" / "a.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (
        str(caught.value) == f"{path}: cannot be unpacked to {tmp_path}/out/a.tar: File too large"
    )
    assert not list((tmp_path / "out").iterdir())


def test_an_archive_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = str(zipped(tmp_path / "a.zip", FILES))

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("rgi.data.archives.open_zip", refuse)
    with pytest.raises(InputError, match="^here: .*a.zip: Permission denied$"):
        open_members(path, "here")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (lambda root: root / "nowhere.tgz", "nowhere.tgz: no such file"),
        (lambda root: zipped(root / "a.zip", FILES), "a.zip: nothing to unpack; allowed:"),
        (lambda root: zipped(root / "a_lmdb.zip", FILES), "has 0 files data.mdb, expected 1"),
    ],
)
def test_what_cannot_be_unpacked_is_named(tmp_path, path, message):
    with pytest.raises(InputError, match=message):
        unpack(Path(path(tmp_path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
