"""The report is one page, complete in itself, that no name can break."""

import html.parser
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rgi.errors import InputError
from rgi.reporting.report import Sources, machine, software, write_report

HOSTILE = "<script>alert(1)</script>"
HEADER = "dataset,case,method,metric,region,statistic,value,low,high,images,lam,published\n"


class Page(html.parser.HTMLParser):
    """Collects tags, their attributes and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture
def sources(tmp_path):
    """Tables with a hostile method name and a choice at the edge, a figure and two sheets."""
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "cost.csv").write_text(
        HEADER + f"digits,block,{HOSTILE},seconds,whole,mean,1.5,1.2,1.8,32,none,\n"
    )
    row = "digits,block,rgi,psnr,whole,mean,{},,,32,{},,{}\n"
    (tables / "lambda-sensitivity.csv").write_text(
        HEADER.replace("\n", ",chosen\n")
        + row.format(20, 0.1, "no")
        + row.format(20.123, 0.2, "yes")
    )
    pictures = {}
    sheets = ("digits/preview.png", "digits/samples.png", "digits/vae/samples.png")
    for name in ("figures/restorations.png", *sheets):
        pictures[name] = tmp_path / name
        pictures[name].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(pictures[name])
    return Sources(
        [tables / "cost.csv", tables / "lambda-sensitivity.csv"],
        [pictures["figures/restorations.png"]],
        [pictures["digits/preview.png"]],
        [pictures["digits/samples.png"]],
        [pictures["digits/vae/samples.png"]],
    )


@pytest.fixture
def page(tmp_path, sources):
    config = {"seed": 11, "mirror": "https://example.org", "methods": {HOSTILE: {"lam": [0.1]}}}
    write_report(tmp_path / "report.html", sources, config, "snakemake --cores 2 > log")
    return Page((tmp_path / "report.html").read_text())


def test_it_needs_no_other_file_and_runs_nothing(page):
    assert [uri[:22] for uri in page.attributes("src")] == ["data:image/png;base64,"] * 4
    assert all(href.startswith(("#", "data:,")) for href in page.attributes("href"))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "base", "form"}
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "@import" not in page.text
    assert "url(" not in page.text


def test_a_hostile_name_is_text(page):
    assert page.text.count(HOSTILE) == 2  # in the table and in the settings


def test_every_link_of_the_contents_leads_somewhere(page):
    targets = [href[1:] for href in page.attributes("href") if href.startswith("#")]

    assert targets == [
        "restorations",
        "lambda-sensitivity",
        "cost",
        "data",
        "settings",
        "environment",
    ]
    assert set(targets) <= set(page.attributes("id"))


def test_it_holds_tables_captions_settings_and_environment(page):
    for words in (
        "1.5",
        "[1.2, 1.8]",
        "20.12*",
        "Chosen at the edge of the grid: rgi (digits block).",
        "not picked by hand",
        "Images of the data set digits.",
        "seed: 11",
        "snakemake --cores 2 > log",
        software()["torch"],
        machine()["processor"],
    ):
        assert words in page.text


def test_wide_tables_scroll_in_their_own_box(page):
    tags = [(tag, attributes.get("class")) for tag, attributes in page.tags]
    tables = [place for place, (tag, _) in enumerate(tags) if tag == "table"]

    assert len(tables) == 2
    assert all(tags[place - 1] == ("div", "scroll") for place in tables)


def test_every_picture_has_words_for_those_who_cannot_see_it(page):
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"not a picture", "not a readable PNG")]
)
def test_a_picture_that_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"broken\.png: {message}"):
        write_report(tmp_path / "r.html", Sources([], [], [path], []), {}, "")
    assert not (tmp_path / "r.html").exists()


def test_the_script_writes_the_page(tmp_path, sources):
    command = [sys.executable, "workflow/scripts/write_report.py", "--command=make"]
    command += [f"--config={json.dumps({'seed': 0})}", f"--output={tmp_path / 'r.html'}"]
    command += [f"--table={path}" for path in sources.tables]
    command += [f"--figure={path}" for path in sources.figures]
    command += [f"--preview={path}" for path in sources.previews]
    command += [f"--samples={path}" for path in sources.samples]
    command += [f"--reconstructions={path}" for path in sources.reconstructions]
    subprocess.run(command, check=True, capture_output=True)

    assert "Cost" in Page((tmp_path / "r.html").read_text()).text
