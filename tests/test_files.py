"""Files appear whole or not at all, whatever happens; what is damaged is named."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from rgi.errors import InputError
from rgi.files import load_arrays, save_arrays, write_whole

HANGING = """
import sys, time
from pathlib import Path
from rgi.files import write_whole
with write_whole(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""


def kill_while_writing(path):
    """Leave behind what a process leaves that is killed before its file is whole."""
    command = [sys.executable, "-c", HANGING, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("before", [None, "old"])
def test_a_killed_writer_leaves_the_output_as_it_was(tmp_path, before):
    path = tmp_path / "output.txt"
    if before is not None:
        path.write_text(before)
    kill_while_writing(path)
    (partial,) = set(tmp_path.iterdir()) - {path}
    assert "partial" in partial.name and partial.read_text() == "half"
    assert (path.read_text() if path.exists() else None) == before

    with write_whole(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_writer_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), write_whole(tmp_path / "output.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "output.txt", []
    original = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda number: (synced.append(path.exists()), original(number))
    )
    with write_whole(path) as temporary:
        temporary.write_text("whole")
    assert synced == [False]


def spoil(path, kind):
    np.savez_compressed(path, a=np.random.default_rng(0).integers(0, 9, 4000))
    content = path.read_bytes()
    if kind == "compressed data":
        path.write_bytes(content[:200] + b"\xff" * 60 + content[260:])
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "single array":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    elif kind == "header":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
        path.write_bytes(path.read_bytes().replace(b"{'descr'", b'{("""scr'))
    elif kind == "pickle":
        np.savez(path, a=np.array([{}], dtype=object))


@pytest.mark.parametrize(
    "kind", ["compressed data", "cut", "empty", "single array", "header", "pickle"]
)
def test_a_damaged_file_is_named_with_what_was_expected(tmp_path, kind):
    path = tmp_path / "case.npz"
    spoil(path, kind)
    with pytest.raises(InputError, match=r"case.npz: not a readable .*expected arrays a, b$") as it:
        load_arrays(path, "a", "b")
    assert "\n" not in str(it.value)


def test_a_missing_file_or_array_is_named(tmp_path):
    with pytest.raises(InputError, match="case.npz: no such file"):
        load_arrays(tmp_path / "case.npz", "a")
    save_arrays(tmp_path / "case.npz", {"a": np.zeros(3)})
    with pytest.raises(InputError, match="b is not a file in the archive; expected arrays a, b"):
        load_arrays(tmp_path / "case.npz", "a", "b")
