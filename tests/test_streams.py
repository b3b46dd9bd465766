"""Pictures are read by many processes: in order, a few at a time, and on after a kill."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from rgi.data import open_images, preparation, prepare, reading, streams
from rgi.data.pictures import UnreadableImageError
from rgi.data.reading import Read, read_in_order
from rgi.data.sources import Parts, Pictures
from rgi.errors import InputError

ROOT = Path(__file__).parent.parent
RECORD = ".train.partial.json"
MADE = ("train.npy", "test.npy", "info.yaml", "preview.png")
CHECKSUMS = {f".{name}.sha256" for name in MADE if name != "info.yaml"}


def picture(name):
    """The grey level is the name."""
    return np.full((8, 8, 1), int(name), np.uint8)


def names(count):
    return [str(number) for number in range(count)]


def late_or_early(name):
    """Processes overtake each other."""
    time.sleep(np.random.default_rng(int(name)).uniform(0, 0.004))
    if int(name) % 10 == 3:
        raise UnreadableImageError(f"reason {name}")
    return picture(name)


class Written:
    """Names that the processes of a test have read, in a file."""

    def __init__(self, path):
        self.path = path
        self.clear()

    def append(self, name):
        with self.path.open("a") as stream:
            stream.write(f"{name}\n")

    def clear(self):
        self.path.write_text("")

    def __iter__(self):
        return iter(self.path.read_text().splitlines())

    def __len__(self):
        return len(self.path.read_text().splitlines())


# Reading in order


@pytest.mark.parametrize("processes", [1, 2, 7])
def test_pictures_come_in_order_with_the_reasons_of_those_that_do_not(processes):
    found = list(read_in_order(Pictures(names(100), late_or_early), (8, 8, 1), processes))
    assert [each.name for each in found] == names(100)
    for number, each in enumerate(found):
        if number % 10 == 3:
            assert (each.image, each.reason) == (None, f"reason {number}")
        else:
            assert (each.image == number).all()


@pytest.mark.parametrize("processes", [1, 4])
def test_only_so_many_pictures_are_read_ahead(tmp_path, processes):
    begun = Written(tmp_path / "begun")

    def read(name):
        begun.append(name)
        return picture("0")

    most = (2 * processes + 1) * reading.TOGETHER
    found = read_in_order(Pictures(names(400), read), (8, 8, 1), processes)
    for number, _ in enumerate(found):
        time.sleep(0.0005)  # whoever can run ahead, does
        assert len(begun) - number <= most
    assert sorted(begun) == sorted(names(400))


def test_as_many_pictures_as_processes_are_read_at_the_same_time():
    together = multiprocessing.Barrier(3, timeout=10)  # passes three at a time, or breaks

    def read(name):
        together.wait()
        return picture(name)

    count = 3 * reading.TOGETHER
    assert len(list(read_in_order(Pictures(names(count), read), (8, 8, 1), 3))) == count


@pytest.mark.parametrize(
    ("count", "shape", "processes", "together"),
    [
        (20_000, (128, 128, 3), 2, 32),
        (20_000, (1024, 1024, 3), 2, 1),  # memory is bounded by bytes
        (38, (128, 128, 3), 4, 2),  # few, perhaps slow ones keep all processes busy
        (3, (128, 128, 3), 8, 1),
    ],
)
def test_few_or_large_pictures_are_handed_over_in_small_parts(count, shape, processes, together):
    assert reading._together(count, shape, processes) == together


def test_what_reading_writes_down_is_brought_back():
    notes = {}

    def read(name):
        notes[name] = f"of {name}"
        return late_or_early(name)

    for _ in read_in_order(Pictures(names(100), read, notes), (8, 8, 1), 3):
        pass
    assert notes == {name: f"of {name}" for name in names(100)}


def test_of_all_errors_the_first_picture_s_is_the_one_to_be_seen():
    def read(name):
        if int(name) in (37, 38, 52, 90):
            raise OSError("no such device")
        return late_or_early(name)

    with pytest.raises(RuntimeError, match="^picture 37: OSError: no such device\n") as caught:
        list(read_in_order(Pictures(names(100), read), (8, 8, 1), 4))
    assert 'raise OSError("no such device")' in caught.value.__notes__[0]  # where it was raised
    assert not multiprocessing.active_children()


def test_an_input_error_comes_through_as_it_is():
    def read(name):
        raise InputError("cars.tgz: damaged")

    with pytest.raises(InputError, match=r"^cars.tgz: damaged$"):
        list(read_in_order(Pictures(names(100), read), (8, 8, 1), 4))


def test_a_picture_of_another_shape_is_an_error():
    """Numpy would spread one channel over three."""
    with pytest.raises(RuntimeError, match=r"^picture 0: .*uint8 \(8, 8, 1\); expected .*, 3\)"):
        list(read_in_order(Pictures(names(10), picture), (8, 8, 3), 2))


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL: perhaps for want of memory"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "SIGTERM"),
        (lambda: sys.exit(3), "status 3"),
    ],
    ids=["killed", "crashed", "left"],
)
def test_a_process_that_ends_is_an_error_that_says_how_and_where(end, how):
    def read(name):
        if name == "50":
            end()
        return picture(name)

    with pytest.raises(RuntimeError, match=rf"\({how}.*\) with the pictures 48 to 59 to be read"):
        list(read_in_order(Pictures(names(100), read), (8, 8, 1), 2))
    assert not multiprocessing.active_children()


def test_a_reader_that_is_left_early_leaves_no_process():
    reads = read_in_order(Pictures(names(1000), late_or_early), (8, 8, 1), 4)
    assert isinstance(next(reads), Read)
    assert len(multiprocessing.active_children()) == 4
    reads.close()
    assert not multiprocessing.active_children()


# A source of pictures


@dataclass(frozen=True)
class Settings:
    """Nothing but what each source has."""

    resolution: int = 8
    channels: int = 1


@pytest.fixture
def source(monkeypatch):
    """Register parts as the source "pictures"; returns its entry in the config."""

    def register(**parts):
        def describe():
            skipped = [{"name": "elsewhere", "reason": "known to the source"}]
            split = {"train": "all others"}
            return {"source": "s", "sha256": {}, "split": split, "skipped": skipped}

        parts = {"test": Pictures(["7"], picture)} | parts
        entry = (Settings, lambda settings, seed: Parts(**parts, describe=describe))
        monkeypatch.setitem(preparation.SOURCES, "pictures", entry)
        return {"source": "pictures"}

    return register


def content(directory):
    return {name: (directory / name).read_bytes() for name in MADE}


def info(directory):
    return yaml.safe_load((directory / "info.yaml").read_text())


def test_the_number_of_processes_changes_no_byte(source, tmp_path):
    values = source(train=Pictures(names(100), late_or_early))
    for processes in (1, 2, 7):
        prepare(values, tmp_path / str(processes), seed=0, processes=processes)
    one, *others = (content(tmp_path / processes) for processes in "127")
    assert others == [one, one]
    levels = open_images(tmp_path / "7/train.npy")[:, 0, 0, 0].tolist()
    assert levels == [number for number in range(100) if number % 10 != 3]
    assert {path.name for path in (tmp_path / "7").iterdir()} == CHECKSUMS | set(MADE)


def test_skipped_pictures_are_listed_beside_those_that_the_source_has_skipped(source, tmp_path):
    test, train = (Pictures(names(count), late_or_early) for count in (5, 30))
    prepare(source(test=test, train=train), tmp_path, seed=0, processes=3)
    found = {each["name"]: each["reason"] for each in info(tmp_path)["skipped"]}
    expected = {name: f"reason {name}" for name in ("13", "23", "3")}
    assert found == expected | {"elsewhere": "known to the source"}
    assert list(found) == sorted(found)
    assert info(tmp_path)["counts"] == {"skipped": 4, "train": 27, "test": 4}


def test_a_test_picture_with_a_mask_must_be_readable(source, tmp_path):
    masks = [np.ones((8, 8), np.uint8)] * 4
    values = source(test=Pictures(names(4), late_or_early), train=[picture("1")], masks=masks)
    with pytest.raises(InputError, match="^3: reason 3"):
        prepare(values, tmp_path, seed=0)
    assert not list(tmp_path.iterdir())


def test_masks_may_be_pictures_too(source, tmp_path):
    masks = Pictures(names(2), lambda name: np.full((8, 8), int(name), np.uint8))
    test = Pictures(names(2), picture)
    prepare(source(test=test, train=[picture("1")], masks=masks), tmp_path, seed=0, processes=2)
    assert np.load(tmp_path / "test_masks.npy")[:, 0, 0].tolist() == [0, 1]


def test_no_usable_picture_is_an_error_that_leaves_nothing(source, tmp_path):
    def read(name):
        raise UnreadableImageError("torn")

    with pytest.raises(InputError, match="found 0 usable images .*2 skipped; the first: 0: torn"):
        prepare(source(train=Pictures(names(2), read)), tmp_path / "out", seed=0)
    assert not list((tmp_path / "out").iterdir())


def test_pictures_that_are_not_drawn_are_not_read(source, tmp_path):
    asked = Written(tmp_path / "asked")

    def read(name):
        asked.append(name)
        return picture(name)

    values = source(train=Pictures(names(200), read)) | {"train": 30}
    prepare(values, tmp_path / "a", seed=0, processes=3)
    drawn = open_images(tmp_path / "a/train.npy")[:, 0, 0, 0].tolist()
    assert sorted(map(int, asked)) == drawn == sorted(set(drawn))
    assert len(drawn) == 30 and max(drawn) > 100
    assert info(tmp_path / "a")["split"]["train"] == "at most 30, drawn by the seed, of all others"
    prepare(values, tmp_path / "b", seed=1)
    assert open_images(tmp_path / "b/train.npy")[:, 0, 0, 0].tolist() != drawn


# After a kill


@pytest.fixture
def folder(tmp_path):
    """Settings of a folder with 200 pictures of noise, one that is none, and copies."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 20, 24, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"in/{number:03}.png")
        if number % 40 == 0:
            Image.fromarray(pixels).save(tmp_path / f"in/{number:03}-copy.png")
    (tmp_path / "in/010-torn.png").write_bytes(b"")
    path = str(tmp_path / "in")
    return {"source": "folder", "path": path, "resolution": 8, "channels": 3, "test": 30}


KILLED = """
import json, os, signal, sys
from pathlib import Path
from rgi.data import folder, prepare, reading, streams

values, directory, rows = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
record, original = directory / ".train.partial.json", folder.to_pixels

def deadly(*arguments):
    if record.exists() and json.loads(record.read_text())["rows"] >= rows:
        os.kill(parent, signal.SIGKILL)
    return original(*arguments)

parent = os.getpid()
streams.SAVE_SECONDS, reading.TOGETHER, folder.to_pixels = 0, 8, deadly
prepare(values, directory, seed=0, processes=2)
"""


LATE = """
import json, os, signal, sys
from pathlib import Path
from rgi.data import preparation

preparation.sha256_of = lambda path: os.kill(os.getpid(), signal.SIGKILL)
preparation.prepare(json.loads(sys.argv[1]), Path(sys.argv[2]), seed=0, processes=2)
"""


def kill(values, directory, rows, program=KILLED):
    """Prepare in a process that kills itself when so many rows are safe, or a few more."""
    command = [sys.executable, "-c", program, json.dumps(values), directory, str(rows)]
    done = subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL
    assert not (directory / "train.npy").exists()
    return json.loads((directory / RECORD).read_text())["rows"]


@pytest.fixture
def reads(monkeypatch, tmp_path):
    """The names of the training pictures that are read by processes of this test."""
    found = Written(tmp_path / "reads")
    original = preparation.stream_pictures

    def spying(path, shape, pictures, *rest):
        def read(name):
            found.append(name)
            return pictures.read(name)

        return original(path, shape, replace(pictures, read=read), *rest)

    monkeypatch.setattr(preparation, "stream_pictures", spying)
    return found


@pytest.mark.parametrize("changes", [{}, {"train": 120}], ids=["all", "drawn"])
def test_a_killed_preparation_goes_on_and_ends_with_the_same_bytes(
    folder, tmp_path, reads, caplog, changes
):
    caplog.set_level("INFO")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    prepare(folder | changes, whole, seed=0)
    whole_reads = len(reads)
    first = kill(folder | changes, killed, 1)
    second = kill(folder | changes, killed, first + 20)
    (killed / f".{RECORD.replace('.json', '.partial.json')}").touch()  # killed while writing it
    assert second >= first + 20  # what was safe before the second kill still was
    reads.clear()
    prepare(folder | changes, killed, seed=0, processes=2)
    assert len(reads) <= whole_reads - second
    assert "goes on after" in caplog.text
    assert content(killed) == content(whole)
    assert {path.name for path in killed.iterdir()} == CHECKSUMS | set(MADE)


def test_a_kill_after_the_last_picture_costs_none(folder, tmp_path, reads):
    prepare(folder, tmp_path / "whole", seed=0)
    kill(folder, tmp_path / "killed", 0, LATE)
    reads.clear()
    prepare(folder, tmp_path / "killed", seed=0)
    assert not reads
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert {path.name for path in (tmp_path / "killed").iterdir()} == CHECKSUMS | set(MADE)


def check_hash(path, pictures):
    """Stream pictures to a file; the SHA-256 that comes of it is that of the file."""
    with streams.stream_pictures(path, (8, 8, 1), pictures, "same", 2) as (partial, _, digest):
        assert digest == hashlib.sha256(partial.read_bytes()).hexdigest()
    return np.load(path)


@pytest.mark.parametrize("read", [picture, late_or_early], ids=["all", "some unreadable"])
def test_the_hash_is_that_of_the_file(tmp_path, read):
    found = check_hash(tmp_path / "train.npy", Pictures(names(100), read))
    assert len(found) == (100 if read is picture else 90)


def test_the_hash_is_that_of_the_file_also_where_it_was_begun_before(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "SAVE_SECONDS", 0)

    def failing(name):
        if name == "77":
            raise OSError("no such device")
        return late_or_early(name)

    path = tmp_path / "train.npy"
    with pytest.raises(RuntimeError, match="77"):
        check_hash(path, Pictures(names(100), failing))
    assert json.loads((tmp_path / RECORD).read_text())["rows"] > 0
    assert len(check_hash(path, Pictures(names(100), late_or_early))) == 90


def other_resolution(folder):
    return folder | {"resolution": 4}


def other_limit(folder):
    return folder | {"train": 150}


def other_file(folder):
    path = sorted(Path(folder["path"]).iterdir())[0]
    Image.new("RGB", (20, 20), "red").save(path)
    return folder


def another_file(folder):
    Image.new("RGB", (20, 20), "red").save(Path(folder["path"], "zzz.png"))
    return folder


@pytest.mark.parametrize("change", [other_resolution, other_limit, other_file, another_file])
def test_after_a_change_a_killed_preparation_begins_anew(folder, tmp_path, reads, caplog, change):
    caplog.set_level("INFO")
    kill(folder, tmp_path / "killed", 20)
    changed = change(folder)
    prepare(changed, tmp_path / "killed", seed=0)
    assert "begun anew" in caplog.text
    again = len(reads)
    prepare(changed, tmp_path / "fresh", seed=0)
    assert len(reads) == 2 * again
    assert content(tmp_path / "killed") == content(tmp_path / "fresh")


def test_after_two_changes_nothing_of_the_one_between_is_left(folder, tmp_path, monkeypatch):
    killed = tmp_path / "killed"
    kill(folder, killed, 20)

    def killed_at_once(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(streams, "_append_all", killed_at_once)
        prepare(folder, killed, seed=1)
    (killed / ".train.partial.npy").write_bytes(bytes(10**6))  # as many rows, of seed 1
    for directory in (killed, tmp_path / "fresh"):
        prepare(folder, directory, seed=0)
    assert content(killed) == content(tmp_path / "fresh")


def test_a_file_that_is_called_as_a_setting_changes_nothing(folder, tmp_path, monkeypatch, reads):
    monkeypatch.chdir(tmp_path)
    values = folder | {"crop": "whole"}
    prepare(values, tmp_path / "fresh", seed=0)
    all_reads = len(reads)
    killed = kill(values, tmp_path / "killed", 20)
    Path("whole").touch()
    reads.clear()
    prepare(values, tmp_path / "killed", seed=0)
    assert len(reads) <= all_reads - killed


def test_another_seed_begins_anew(folder, tmp_path):
    kill(folder, tmp_path / "killed", 20)
    for name in ("killed", "fresh"):
        prepare(folder, tmp_path / name, seed=1)
    assert content(tmp_path / "killed") == content(tmp_path / "fresh")


@pytest.mark.parametrize("spoil", ["shorter", "no record", "half a record"])
def test_what_does_not_hold_what_it_promises_is_not_used(folder, tmp_path, spoil):
    killed = tmp_path / "killed"
    kill(folder, killed, 20)
    if spoil == "shorter":
        os.truncate(killed / ".train.partial.npy", 128 + 19 * 8 * 8 * 3)
    elif spoil == "no record":
        (killed / RECORD).unlink()
    else:
        (killed / RECORD).write_text((killed / RECORD).read_text()[:50])
    for directory in (killed, tmp_path / "fresh"):
        prepare(folder, directory, seed=0)
    assert content(killed) == content(tmp_path / "fresh")


def test_a_source_without_pictures_takes_away_what_one_with_them_has_left(folder, tmp_path):
    kill(folder, tmp_path / "out", 20)
    prepare({"source": "digits", "resolution": 8, "test": 5}, tmp_path / "out", seed=0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == CHECKSUMS | set(MADE)


def test_after_an_error_that_may_pass_it_goes_on(folder, tmp_path, reads, monkeypatch):
    original = preparation.stream_pictures

    def failing(path, shape, pictures, *rest):
        def read(name):
            if name > "120":
                raise OSError(5, "Input/output error")
            return pictures.read(name)

        return original(path, shape, replace(pictures, read=read), *rest)

    monkeypatch.setattr(streams, "SAVE_SECONDS", 0)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="Input/output error"):
        patch.setattr(preparation, "stream_pictures", failing)
        prepare(folder, tmp_path / "out", seed=0)
    assert not (tmp_path / "out/train.npy").exists()
    reads.clear()
    prepare(folder, tmp_path / "out", seed=0)
    assert 0 < len(reads) < 120
    prepare(folder, tmp_path / "fresh", seed=0)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


# The command


def many_files(root, count):
    """JPEG files of 178 x 218, all different; what follows a JPEG's end is not read."""
    root.mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (28, 23, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((178, 218)).save(root / "one.jpg", quality=85)
    data = (root / "one.jpg").read_bytes()
    (root / "one.jpg").unlink()
    for number in range(count):
        (root / f"{number:05}.jpg").write_bytes(data + str(number).encode())
    return {"source": "folder", "path": str(root), "resolution": 128, "channels": 3, "test": 2}


def start(values, directory, python=()):
    script = ROOT / "workflow/scripts/prepare_dataset.py"
    command = [script, "--settings", json.dumps(values), "--processes", "2"]
    return subprocess.Popen(
        [sys.executable, *python, *command, "--directory", directory],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def process_and_children(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, children.read_text().split() if children.exists() else [])]


def runs(pid):
    """Whether a process lives; one that ended may wait for somebody to ask how."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    return False


def memory(pid):
    """Peak resident memory in KiB, shared pages counted in each process; 0 of an ended one."""
    with contextlib.suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    return 0


INTERRUPTED = """
import os, runpy, signal, sys
from rgi.data import folder

read, original = [], folder.to_pixels

def interrupting(*arguments):
    read.append(None)
    if len(read) == 100:
        os.killpg(0, signal.SIGINT)
    return original(*arguments)

# In the background of a shell that is no terminal's, processes begin with it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder.to_pixels, sys.argv = interrupting, sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_after_ctrl_c_no_process_is_left_and_the_next_run_completes(tmp_path):
    """Ctrl-C is a signal to all processes of a group; it comes with the 100th picture of one."""
    values = many_files(tmp_path / "in", 600)
    process = start(values, tmp_path / "out", ["-c", INTERRUPTED])
    _, report = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in report
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not (tmp_path / "out/train.npy").exists()
    again = start(values, tmp_path / "out")
    _, report = again.communicate()
    assert again.returncode == 0
    assert len(open_images(tmp_path / "out/train.npy")) == 598
    assert "598 of 598 pictures" in report and "images/s" in report


def test_a_killed_preparation_leaves_no_process(tmp_path):
    process = start(many_files(tmp_path / "in", 3000), tmp_path / "out")
    while len(everyone := process_and_children(process.pid)) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    for _ in range(500):
        if not any(map(runs, everyone)):
            return
        time.sleep(0.02)
    pytest.fail("still running after 10 seconds")


@pytest.mark.slow
def test_twenty_thousand_pictures_take_little_memory(tmp_path):
    process = start(many_files(tmp_path / "in", 20_000), tmp_path / "out")
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(memory, process_and_children(process.pid))))
        time.sleep(0.05)
    assert process.returncode == 0, process.stderr.read()
    assert (tmp_path / "out/train.npy").stat().st_size > 900 * 2**20
    assert 20 * 2**10 < peak < 512 * 2**10


@pytest.mark.slow
def test_snakemake_leaves_what_a_killed_job_has_read_to_the_next(tmp_path):
    values = many_files(tmp_path / "in", 60_000)
    tiny = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    tiny["datasets"]["digits"] = values | {"resolution": 8}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tiny))

    def snakemake(name):
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--nolock"]
        command += ["--cores", "2", "--configfile", tmp_path / "config.yaml"]
        return subprocess.Popen(
            [*command, "--", "results/datasets/digits/train.npy"],
            cwd=directory,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    made = Path("results/datasets/digits")
    run = snakemake("killed")
    while not (tmp_path / "killed" / made / RECORD).exists():
        assert run.poll() is None
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (tmp_path / "killed" / made / "train.npy").exists()
    assert snakemake("killed").wait() == 0
    assert snakemake("whole").wait() == 0
    log = (tmp_path / "killed/results/logs/dataset/digits.log").read_text()
    assert "goes on after" in log and "processes: 2" in log
    assert content(tmp_path / "killed" / made) == content(tmp_path / "whole" / made)
