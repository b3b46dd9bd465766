"""Downloads: resumed, verified, from one of several addresses, whole or not at all."""

import hashlib
import json
import re
import time
from pathlib import Path

import pytest
from host import Handler, serving
from publishers import faces, zipped

from rgi.data import PUBLICATIONS, Archive, Publication, check_registered, downloads
from rgi.data.downloads import download
from rgi.errors import InputError

DOCUMENT = Path(__file__).parent.parent / "docs" / "data.md"


@pytest.fixture
def host(tmp_path, monkeypatch):
    data = zipped(tmp_path / "made.zip", faces()).read_bytes()
    monkeypatch.setattr(downloads, "_PAUSE", 0)
    with serving(data) as running:
        yield running


@pytest.fixture
def publish(host, monkeypatch):
    """Register the host's file under these ways or addresses, with its checksum or another."""

    def register(*ways, checksum=None):
        if checksum is None:
            checksum = f"sha256:{hashlib.sha256(host.data).hexdigest()}"
        urls = tuple(way if "://" in way else f"{host.url}/{way}/faces.zip" for way in ways)
        publication = Publication(
            title="Faces",
            folder="faces",
            files=(Archive("faces.zip", urls, checksum, "the test", 0.1),),
            page="",
            licence="",
            citation="",
            by_hand="ask the publisher",
        )
        monkeypatch.setitem(PUBLICATIONS, "faces", publication)

    return register


def fetched(folder, mirror=None):
    """Download into `folder`; nothing else may be left in it."""
    path = folder / "faces.zip"
    download("faces", "faces.zip", path, mirror)
    assert [file.name for file in folder.iterdir()] == ["faces.zip"]
    return path.read_bytes()


def leave(folder, data, note=None):
    """Leave behind what an interrupted transfer from the file's first address does."""
    file = PUBLICATIONS["faces"].files[0]
    tag = hashlib.sha256(file.checksum.encode()).hexdigest()[:8]
    folder.mkdir()
    (folder / f".faces.zip.{tag}.partial").write_bytes(data)
    if note is not None:
        (folder / f".faces.zip.{tag}.partial.json").write_text(
            json.dumps({"url": file.urls[0], "validator": note})
        )


def refusal(folder, mirror=None):
    with pytest.raises(InputError) as caught:
        download("faces", "faces.zip", folder / "faces.zip", mirror)
    assert "\n" not in str(caught.value) and not (folder / "faces.zip").exists()
    return str(caught.value)


@pytest.mark.parametrize("way", ["whole", "redirect", "busy", "slow", "half", "forgetful"])
def test_a_file_comes_whole_however_its_host_behaves(tmp_path, host, publish, way):
    publish(way)
    assert fetched(tmp_path / "d") == host.data
    ranges = [wanted for _, wanted in host.asked if wanted]
    assert ranges == ([f"bytes={len(host.data) // 2}-"] if way in ("half", "forgetful") else [])


def test_the_md5_of_a_publisher_does_as_well(tmp_path, host, publish):
    publish("whole", checksum=f"md5:{hashlib.md5(host.data).hexdigest()}")
    assert fetched(tmp_path / "d") == host.data


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("missing", "404 Client Error"),
        ("page", "what came has sha256 .*, not the registered"),
        ("corrupted", "what came has sha256 .*, not the registered sha256:[0-9a-f]{64}[;)]"),
        ("truncated", "what came has sha256 .*, not the registered"),
        ("silent", "what came has sha256 .*, not the registered"),
    ],
)
def test_what_is_not_the_file_is_refused_and_the_next_address_is_tried(
    tmp_path, host, publish, way, message
):
    publish(way)
    said = refusal(tmp_path / "alone")
    assert re.search(f"{way}/faces.zip: {message}", said)
    assert not list((tmp_path / "alone").iterdir())
    assert f"ask the publisher; put it at {tmp_path}/alone/faces.zip" in said
    assert "`mirror:` to a folder or base URL that holds faces/faces.zip" in said
    publish(way, "whole")
    assert fetched(tmp_path / "both") == host.data


def test_a_dead_host_is_passed_by(tmp_path, host, publish):
    publish("http://127.0.0.1:9/faces.zip", "whole")
    assert fetched(tmp_path / "d") == host.data


def test_a_transfer_cut_at_half_is_gone_on_with_by_the_next_run(
    tmp_path, host, publish, monkeypatch
):
    publish("halting")
    monkeypatch.setattr(downloads, "_TRIES", 1)
    assert "halting/faces.zip: broke at byte" in refusal(tmp_path / "d")
    left = next((tmp_path / "d").glob(".faces.zip.*.partial"))
    assert left.read_bytes() == host.data[: len(host.data) // 2]
    assert fetched(tmp_path / "d") == host.data
    assert host.asked[-1][1] == f"bytes={len(host.data) // 2}-" and len(host.asked) == 3


def test_a_host_that_breaks_again_and_again_is_not_given_up_while_something_comes(
    tmp_path, host, publish, monkeypatch
):
    monkeypatch.setattr(downloads, "_TRIES", 2)
    publish("dropping")
    assert fetched(tmp_path / "d") == host.data
    assert len(host.asked) >= 20


@pytest.mark.parametrize("way", ["away", "outage"])
def test_an_outage_is_waited_for(tmp_path, host, publish, way):
    publish(way)
    assert fetched(tmp_path / "d") == host.data
    assert len(host.asked) > 7


def test_the_next_address_goes_on_where_the_last_one_broke(tmp_path, host, publish):
    publish("leaving", "whole")
    assert fetched(tmp_path / "d") == host.data
    assert host.asked[-1] == ("/whole/faces.zip", f"bytes={len(host.data) // 2}-")


def test_what_does_not_fit_to_another_address_s_bytes_comes_anew(tmp_path, host, publish):
    publish("spoilt", "whole")
    assert fetched(tmp_path / "d") == host.data
    assert [path for path, _ in host.asked[-2:]] == ["/whole/faces.zip"] * 2
    assert host.asked[-1][1] is None


def test_without_a_checksum_no_address_goes_on_with_another_s_bytes(tmp_path, host, publish):
    publish("leaving", "whole", checksum="")
    assert fetched(tmp_path / "d") == host.data
    assert host.asked[-1] == ("/whole/faces.zip", None)


def test_a_file_that_has_changed_since_the_cut_comes_anew(tmp_path, host, publish):
    publish("whole")
    leave(tmp_path / "d", b"of another time", note='"zero"')
    assert fetched(tmp_path / "d") == host.data
    assert host.asked == [("/whole/faces.zip", "bytes=15-")]


def test_a_transfer_that_ended_before_it_was_verified_is_not_repeated(tmp_path, host, publish):
    publish("whole")
    leave(tmp_path / "d", host.data, note=host.tag)
    assert fetched(tmp_path / "d") == host.data
    assert host.asked == [("/whole/faces.zip", f"bytes={len(host.data)}-")]


def test_more_bytes_than_there_are_come_anew(tmp_path, host, publish):
    """A host that looks at the range alone, and whose file has become shorter."""
    publish("whole")
    leave(tmp_path / "d", host.data + b"more", note='"any"')
    assert fetched(tmp_path / "d") == host.data
    assert [wanted for _, wanted in host.asked] == [f"bytes={len(host.data) + 4}-", None]


@pytest.mark.parametrize("note", [None, ""])
def test_bytes_without_a_note_of_what_they_are_of_are_not_trusted(tmp_path, host, publish, note):
    publish("whole")
    leave(tmp_path / "d", host.data[:100], note)
    assert fetched(tmp_path / "d") == host.data and host.asked == [("/whole/faces.zip", None)]


def test_a_host_that_stops_sending_is_given_up(tmp_path, host, publish, monkeypatch):
    publish("stuck")
    monkeypatch.setattr(downloads, "_TRIES", 2)
    monkeypatch.setattr(downloads, "_PATIENCE", (1, 0.2))
    started = time.monotonic()
    assert "Read timed out" in refusal(tmp_path / "d")
    assert time.monotonic() - started < 3


def test_without_a_checksum_the_archive_s_own_are_looked_at(tmp_path, host, publish, caplog):
    publish("whole", checksum="")
    assert fetched(tmp_path / "a") == host.data
    assert "no checksum is known" in caplog.text
    publish("truncated", checksum="")
    assert "what came is no whole zip file" in refusal(tmp_path / "b")
    publish("corrupted", checksum="")
    assert "what came is damaged at img_align_celeba" in refusal(tmp_path / "c")


def test_a_mirror_stands_in_for_every_address(tmp_path, host, publish, caplog):
    publish("missing")
    own = tmp_path / "mirror" / "faces" / "faces.zip"
    own.parent.mkdir(parents=True)
    own.write_bytes(host.data)
    for number, mirror in enumerate(
        (str(tmp_path / "mirror"), f"{host.url}/whole", f"{host.url}/whole/")
    ):
        folder = tmp_path / f"d{number}"
        if "://" in mirror:  # FOLDER/FILE behind the base
            host.RequestHandlerClass = type("_Mirror", (Handler,), {"faces": Handler.whole})
        assert fetched(folder, mirror) == host.data
    assert not caplog.text
    own.write_bytes(host.data[:-1])
    assert fetched(tmp_path / "own", str(tmp_path / "mirror")) == host.data[:-1]
    assert "mirror/faces/faces.zip: other bytes than the project knows" in caplog.text


def test_what_was_downloaded_must_have_the_registered_bytes(tmp_path, host, publish):
    path = tmp_path / "faces.zip"
    path.write_bytes(host.data)
    publish("whole")
    check_registered("faces", [str(path)])
    path.write_bytes(host.data[:-1])
    with pytest.raises(InputError, match="faces.zip: other bytes than the registered sha256:.*del"):
        check_registered("faces", [str(path)])
    publish("whole", checksum="")
    check_registered("faces", [str(path)])


def test_what_a_mirror_lacks_is_named(tmp_path, publish):
    publish("whole")
    said = refusal(tmp_path / "d", str(tmp_path / "nowhere"))
    assert f"{tmp_path}/nowhere/faces/faces.zip: " in said and "No such file" in said


def test_the_environment_s_proxy_is_used(tmp_path, host, publish, monkeypatch):
    publish("http://publisher.invalid/whole/faces.zip")
    monkeypatch.setenv("http_proxy", host.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert fetched(tmp_path / "d") == host.data
    assert host.asked[0][0] == "http://publisher.invalid/whole/faces.zip"


def test_progress_is_shown(tmp_path, publish, capfd):
    publish("slow")
    fetched(tmp_path / "d")
    assert "faces.zip" in capfd.readouterr().err


# The table of sources


def rows(source, publication):
    """The lines of docs/data.md about a source."""
    for file in publication.files:
        size = f"{file.size / 1000:.1f} GB" if file.size >= 1000 else f"{file.size:g} MB"
        known = f"`{file.checksum}` ({file.known_by})" if file.checksum else "none known"
        yield f"| `{source}` | `{publication.folder}/{file.name}` | {size} | {known} |"
    yield (
        f"| `{source}` | {publication.title} | {publication.page} | {publication.licence} | "
        f"{publication.citation} | {publication.by_hand} |"
    )
    for file in publication.files:
        yield from (f"- `{file.name}`: <{url}>" for url in file.urls)


def test_the_documentation_has_every_source_as_it_is_registered():
    written = DOCUMENT.read_text().splitlines()
    for source, publication in PUBLICATIONS.items():
        for row in rows(source, publication):
            assert row in written


def test_every_file_has_addresses_and_a_checksum_of_its_length():
    for source, publication in PUBLICATIONS.items():
        for file in publication.files:
            assert file.urls and len(set(file.urls)) == len(file.urls), source
            assert all(url.startswith(("https://", "http://")) for url in file.urls)
            algorithm, _, digest = file.checksum.partition(":")
            assert not file.checksum or len(digest) == {"sha256": 64, "md5": 32}[algorithm]
            assert not file.checksum or (int(digest, 16) and file.known_by)
