"""What comes from elsewhere runs no code and writes nowhere but where it should.

Weights, arrays, pictures, configs and names. Archives: test_archives.py; what a server answers:
test_downloads.py; the report's page: test_report.py.
"""

import html
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import EpsImagePlugin, Image
from test_workflow import ROOT, TINY, snakemake

from rgi.data import open_images, open_masks
from rgi.data.inputs import find_pictures
from rgi.data.kinds import check_names
from rgi.data.pictures import UnreadableImageError, decode
from rgi.errors import InputError
from rgi.files import load_arrays
from rgi.models import load_discriminator, load_generator
from rgi.models.gan_zoo import read_gan_zoo
from rgi.reporting.layout import Block, Cell, write_markdown, write_tex
from rgi.training.checkpoint import load_checkpoint

sys.path.insert(0, str(ROOT / "workflow"))

from config_reading import read_config, read_experiment  # noqa: E402

HOSTILE = "$(touch hacked) `touch hacked`; touch hacked & 'q\" -n > hacked"
BRACES = "{case} {input[0]}"  # which Snakemake fills in; it knows no file of such a name


class Attack:
    """Touches a file as soon as it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# Weights


def load_detector(path):
    return pytest.importorskip("rgi.baselines.detectors.model", exc_type=ImportError).load_detector(
        path
    )


LOADERS = {
    "generator": load_generator,
    "discriminator": load_discriminator,
    "gan-zoo": read_gan_zoo,
    "detector": load_detector,
}


def torch_archive(path, attack):
    torch.save({"network": "Generator", "weights": attack}, path)


def old_torch_file(path, attack):
    torch.save({"network": attack}, path, _use_new_zipfile_serialization=False)


def bare_pickle(path, attack):
    path.write_bytes(pickle.dumps(attack))


def script(path, _):
    torch.jit.script(torch.nn.Linear(1, 1)).save(path)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("write", [torch_archive, old_torch_file, bare_pickle, script])
@pytest.mark.parametrize("loader", LOADERS)
def test_weights_hold_numbers_alone(tmp_path, loader, write):
    write(tmp_path / "weights.pt", Attack(tmp_path / "hacked"))
    with pytest.raises(InputError, match=r"weights\.pt"):
        LOADERS[loader](tmp_path / "weights.pt")
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("write", [torch_archive, old_torch_file, bare_pickle])
def test_a_checkpoint_that_is_a_program_is_put_aside(tmp_path, write):
    write(tmp_path / "checkpoint.pt", Attack(tmp_path / "hacked"))
    assert load_checkpoint(tmp_path / "checkpoint.pt", {}) is None
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.old.pt"]


# Arrays


def npy(header):
    """A .npy file with any text as header, and no numbers."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


HUGE = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**15}, 1, 1, 1)}}")
CODE = npy("__import__('pathlib').Path('hacked').touch()")


@pytest.mark.parametrize("kind", ["object", "pickle", "code", "huge", "deep"])
@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "case.npz"])
def test_arrays_hold_numbers_alone_and_as_many_as_they_say(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    attack = Attack(tmp_path / "hacked")
    data = {
        "object": saved(np.array([attack], dtype=object)),
        "pickle": pickle.dumps(attack),
        "code": CODE,
        "huge": HUGE,
        "deep": npy("(" * 9000),
    }[kind]
    if name == "case.npz":
        with zipfile.ZipFile(name, "w") as archive:
            archive.writestr("corrupted.npy", data)
    else:
        Path(name).write_bytes(data)
    read = {
        "images.npy": open_images,
        "masks.npy": open_masks,
        "case.npz": lambda path: load_arrays(path, "corrupted"),
    }[name]
    with pytest.raises(InputError, match=name):
        read(tmp_path / name)
    assert not (tmp_path / "hacked").exists()


# Pictures

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
(hacked) (w) file closefile showpage
%%EOF
"""
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'><script>1</script></svg>"


def png_header(columns, rows):
    """A PNG file of any size that holds no pixels."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">II", columns, rows)
    chunk = bytes(data[12:29])
    data[29:33] = struct.pack(">I", zlib.crc32(chunk))
    return bytes(data)


def test_no_picture_is_given_to_another_program(tmp_path, monkeypatch):
    """PostScript is a program; Pillow would hand it to Ghostscript."""
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/hacked\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(UnreadableImageError):
        decode(EPS)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (SVG, "not an image"),
        (png_header(100_000, 100_000), "DecompressionBombError"),
        (png_header(1000, 1000), "truncated"),
        (pickle.dumps(Attack(Path("hacked"))), "not an image"),
        (b"", "not an image"),
    ],
)
def test_a_picture_that_is_none_is_named_and_no_more(data, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableImageError, match=reason):
        decode(data)
    assert not list(tmp_path.iterdir())


def test_a_folder_gives_files_alone(tmp_path):
    """A pipe would be waited for, a device read for ever."""
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path)
    (found,) = find_pictures([tmp_path], tmp_path / "out")
    assert found.path.name == "picture.png"


# Configs


@pytest.mark.parametrize(
    "text",
    [
        "__use_yte__: true\nseed: ?__import__('pathlib').Path('hacked').touch()\n",
        '"\\x5f_use_yte__": true\nseed: ?__import__("pathlib").Path("hacked").touch()\n',
        "seed: !!python/object/apply:os.system [touch hacked]\n",
        "seed: !!python/object/new:pathlib.Path [hacked]\n",
    ],
)
def test_a_config_that_would_run_code_is_refused_before_it_does(tmp_path, text):
    (tmp_path / "theirs.yaml").write_text(text)
    command = [sys.executable, ROOT / "workflow/check.py", "theirs.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: theirs.yaml: ") and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.yaml"]


def test_snakemake_itself_goes_no_further_with_such_a_config(tmp_path):
    (tmp_path / "theirs.yaml").write_text("__use_yte__: true\nseed: 1\n")
    output = snakemake(tmp_path, "-n", "--configfile", "theirs.yaml", check=False)
    assert "theirs.yaml: __use_yte__: a config must not run code" in output
    assert "Job stats" not in output


def test_every_experiment_of_the_project_passes():
    """own-images.yaml names a folder that is not there."""
    files = [path for path in (ROOT / "experiments").glob("*.yaml") if path.stem != "own-images"]
    for path in files:
        assert read_config([path]).tables()


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "-rf", ".", "..", "a b", "a;b", "$(touch hacked)", "a\n", "", "ü", "'"]
)
@pytest.mark.parametrize("kind", ["datasets", "cases", "methods", "generators"])
def test_what_becomes_a_folder_s_name_is_a_plain_one(kind, name):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config[kind][name] = next(iter(config[kind].values()))
    with pytest.raises(InputError, match=kind):
        read_experiment(config, "theirs.yaml")


SHELL_COMMANDS = """
import json, logging, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.logging import logger
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

class Collector(logging.Handler):
    def emit(self, record):
        if command := getattr(record, "shellcmd", None):
            found[command] = None

found = {}
with SnakemakeApi(OutputSettings(dryrun=True)) as api:
    logger.handlers, logger.propagate = [Collector()], False
    workflow = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=list(map(Path, sys.argv[2:]))),
        snakefile=Path(sys.argv[1]),
    )
    workflow.dag(DAGSettings()).execute_workflow(executor="dryrun")
print(json.dumps(list(found)))
"""


def hostile_experiment(name):
    """An experiment of which everything that is not a plain name is called `name`."""
    Image.new("L", (8, 8)).save("mask.png")
    images, masks, library, mirror = (
        f"{name} {BRACES} {what}" for what in ("images", "masks", "library", "mirror")
    )
    for path in (images, masks, f"{library}/{name}", mirror):
        Path(path).mkdir(parents=True)
    Path("mask.png").rename(Path(library, name, "mask.png"))
    for path in (f"{name}.pt", f"{name} judge.pt", f"{name}.zip", f"{name}.tar.xz"):
        Path(path).touch()
    small = {"resolution": 8, "test": 4}
    tables = yaml.safe_load(TINY.read_text())["tables"]
    tables["inpainting"] |= {"datasets": ["digits", "celeba"], "cases": ["block", "real"]}
    tables["anomaly-detection"] |= {"datasets": ["own", "btad"], "cases": ["given"]}
    solver = {
        "datasets": ["digits"],
        "cases": ["block"],
        "lam": 0.1,
        "lines": {f"{name[:40].splitlines()[0]} {{case}}": ["rgi", "rgi-profile"]},
    }
    return {
        "mirror": mirror,
        "metrics": ["psnr", "ssim", "rmse", "dice", "auroc"],
        "datasets": {
            "own": {
                "source": "folder",
                "path": images,
                "masks": masks,
                "channels": 1,
                **small,
            },
            "celeba": {"source": "celeba", "archive": f"{name}.zip", **small},
            "btad": {"source": "btad", "product": 1, "archive": f"{name}.tar.xz", **small},
        },
        "generators": {
            "own": {
                "import": {
                    "format": "rgi",
                    "file": f"{name}.pt",
                    "discriminator": {"file": f"{name} judge.pt"},
                }
            },
            "celeba": {
                "import": {
                    "format": "pytorch-gan-zoo",
                    "url": f"https://example.org/{name}.pt",
                    "sha256": "0" * 64,
                }
            },
            "btad": {"latent_dim": 8, "widths": [8, 8]},
        },
        "autoencoders": {
            name: {"l2-ae": {"widths": [8], "window": 3}} for name in ("own", "celeba", "btad")
        },
        "cases": {
            "given": {"corruption": "given"},
            "real": {
                "corruption": "library",
                "path": library,
                "kinds": [name],
                "fill": {"kind": "mean-colour"},
            },
        },
        "tables": tables | {"solver": solver},
    }


@pytest.mark.parametrize("name", [HOSTILE, "-n\ntouch hacked\n;"])
def test_no_free_text_of_a_config_reaches_the_shell(tmp_path, monkeypatch, name):
    """Every command of a dry-run is run, by a python that notes its arguments and no more."""
    monkeypatch.chdir(tmp_path)
    Path("theirs.yaml").write_text(yaml.safe_dump(hostile_experiment(name)))
    arguments = [ROOT / "Snakefile", TINY, "theirs.yaml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SHELL_COMMANDS, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    commands = json.loads(done.stdout.splitlines()[-1])
    Path("bin").mkdir()
    for program in ("python", "torchrun"):
        stub = Path("bin", program)
        stub.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\" >> " + f"'{tmp_path}/arguments'\n")
        stub.chmod(0o755)
    before = {path for path in tmp_path.iterdir() if path.name != "results"}
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SCRIPTS": "scripts"}
    for command in commands:
        for folder in re.findall(r"results/logs/([\w./+-]*)/", command):
            Path("results/logs", folder).mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["bash", "-euc", command], env=environment, check=False)
        assert done.returncode == 0, command
    after = {path for path in tmp_path.iterdir() if path.name != "results"}
    assert after - before == {tmp_path / "arguments"}
    told = Path("arguments").read_text().split("\0")
    whole = [f"{name}.pt", f"{name} judge.pt", f"{name}.zip", f"{name}.tar.xz"]
    whole.append(f"{name} {BRACES} mirror")
    assert set(whole) | {f"https://example.org/{name}.pt"} <= set(told)
    settings = [json.loads(text) for text in told if text.startswith("{")]
    for what in ("images", "library"):
        assert any(each.get("path") == f"{name} {BRACES} {what}" for each in settings)


# Names in tables, figures and the report


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[2J", "=HYPERLINK(1)", "-1|calc!A0", "\u202egnp.exe"]
)
def test_a_name_that_would_break_a_table_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "1.png").touch()
    with pytest.raises(InputError, match="rename"):
        find_pictures([tmp_path / name], tmp_path / "out")
    with pytest.raises(InputError, match="rename"):
        check_names(["good", name])


def test_a_name_that_only_looks_odd_is_kept():
    check_names(["-20C", "=", "größe 3", "50%", "a_b", "<b>", "$x$"])


MARKUP = "<script>![a](http://x) [b][c] `d` **e** $f$ \\input{g} %h #i &lt; ~j~ ^k"


def test_markdown_shows_names_as_they_are(tmp_path):
    block = Block(MARKUP, ["case"], [MARKUP], [([MARKUP], [Cell("1", "[0, 2]")])], MARKUP)
    write_markdown(tmp_path / "t.md", "cost", [block])
    markdown = pytest.importorskip("markdown_it").MarkdownIt
    page = markdown("gfm-like", {"linkify": False}).render((tmp_path / "t.md").read_text())
    assert page.count(html.escape(MARKUP)) == 4
    assert "1 [0, 2]" in page
    assert not re.search("<(script|img|a|code|strong|s)[ >]", page)


def test_latex_has_no_command_of_a_name_s(tmp_path):
    block = Block(MARKUP, ["case"], [MARKUP], [([MARKUP], [Cell("1")])], MARKUP)
    write_tex(tmp_path / "t.tex", "cost", [block])
    text = (tmp_path / "t.tex").read_text()
    shown = (
        r"\textless{}script\textgreater{}!{[}a{]}(http://x) {[}b{]}{[}c{]} `d` **e** \$f\$ "
        r"\textbackslash{}input\{g\} \%h \#i \&lt; \textasciitilde{}j\textasciitilde{} "
        r"\textasciicircum{}k"
    )
    assert text.count(shown) == 4
