"""How publishers' files come onto this machine: resumed, verified, whole or not at all."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from tenacity import retry, retry_if_exception_type, wait_exponential
from tqdm import tqdm
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from rgi.data.archives import open_zip
from rgi.data.provenance import OTHER_BYTES, digest_of, has_checksum
from rgi.data.publications import PUBLICATIONS, Archive
from rgi.errors import InputError
from rgi.files import DAMAGED_ZIP, check_sha256, write_whole
from rgi.settings import choose

_PATIENCE = (10, 60)  # seconds until a server answers, and between two pieces
_PIECE = 1 << 20
_TRIES = 8  # that bring nothing, one after the other, before a transfer that has begun is given up
_FIRST_TRIES = 3  # to reach a host of which nothing has come yet
_PAUSE = 1  # second before the second try; doubled for each one after
_BUSY = (429, 500, 502, 503, 504)


class _BrokenTransferError(requests.RequestException):
    """A transfer has begun and ended too early."""


_PASSING = (_BrokenTransferError, requests.ConnectionError, requests.Timeout)


def download(source: str, name: str, path: Path, mirror: str | None = None) -> None:
    """Write one of a publication's files to `path`, whole or not at all.

    A broken transfer leaves a hidden file beside `path`, with which the next call goes on. What
    comes over a network has to have the registered checksum; a mirror in a folder holds copies of
    one's own, of which other bytes are only warned of.

    Args:
        source: of PUBLICATIONS.
        name: of the file.
        path: where to.
        mirror: a folder or base URL that takes the place of all the publication's addresses.

    Raises:
        InputError: it cannot be had, or is not what is registered; the message says what to do.
    """
    publication = choose(PUBLICATIONS, source, "source")
    file = publication.file(name)
    place = f"{publication.folder}/{name}"
    addresses = file.urls if mirror is None else (f"{mirror.rstrip('/')}/{place}",)
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for address in addresses:
        try:
            if "://" in address:
                _fetch_whole(address, file, path)
            else:
                _copy(Path(address), file, path)
        except (requests.RequestException, OSError, InputError) as error:
            failures.append(f"{address}: {' '.join(str(error).split())}")
            continue
        for partial in path.parent.glob(f".{path.name}.*.partial*"):
            partial.unlink()
        return
    raise InputError(
        f"{name} of {source} cannot be had ({'; '.join(failures)}); by hand: "
        f"{publication.by_hand}; put it at {path}, or set `mirror:` to a folder or base URL that "
        f"holds {place}, or the data set's `archive:` to a copy"
    )


def download_weights(url: str, sha256: str, path: Path, mirror: str | None = None) -> None:
    """Write a file of trained networks to `path`, whole or not at all; goes on as `download` does.

    Args:
        url: where it is published.
        sha256: what its bytes must have, wherever they come from.
        path: where to.
        mirror: a folder or base URL that holds it as generators/NAME.

    Raises:
        InputError: it cannot be had, or has other bytes.
    """
    name = url.rsplit("/", 1)[-1]
    place = f"generators/{name}"
    address = url if mirror is None else f"{mirror.rstrip('/')}/{place}"
    file = Archive(name, (url,), f"sha256:{sha256.lower()}", known_by="the config", size=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if "://" in address:
            _fetch_whole(address, file, path)
        else:
            check_sha256(Path(address), sha256, address)
            _copy(Path(address), file, path)
    except (requests.RequestException, OSError, InputError) as error:
        raise InputError(
            f"{address}: cannot be had ({' '.join(str(error).split())}); set `mirror:` to a folder "
            f"or base URL that holds {place}, or the import's `file:` to a copy of the file"
        ) from None


def _copy(source: Path, file: Archive, path: Path) -> None:
    with write_whole(path) as temporary:
        shutil.copyfile(source, temporary)
    if file.checksum and not has_checksum(path, file.checksum):
        logging.warning("%s: %s", source, OTHER_BYTES)


def _fetch_whole(url: str, file: Archive, path: Path) -> None:
    """Fetch a file into a hidden one, verify it there and give it its name.

    Raises:
        requests.RequestException: it cannot be had; what came is kept.
        InputError: it is not what is registered; nothing is kept.
    """
    # With a checksum one address may go on with another's bytes.
    tag = hashlib.sha256((file.checksum or url).encode()).hexdigest()[:8]
    partial = path.with_name(f".{path.name}.{tag}.partial")
    begun = partial.exists()
    _fetch(url, partial)
    try:
        _verify(partial, file)
    except InputError:
        _discard(partial)
        if not begun:
            raise
        _fetch_whole(url, file, path)  # without what was there before
    else:
        partial.replace(path)


def _verify(path: Path, file: Archive) -> None:
    if file.checksum:
        if not has_checksum(path, file.checksum):
            algorithm = file.checksum.partition(":")[0]
            raise InputError(
                f"what came has {algorithm} {digest_of(path, algorithm)}, not the registered "
                f"{file.checksum}"
            )
        return
    logging.warning("%s: no checksum is known; only the archive's own are checked", file.name)
    try:
        with open_zip(str(path)) as archive:
            damaged = archive.testzip()
    except DAMAGED_ZIP as error:
        raise InputError(f"what came is no whole zip file ({error})") from None
    if damaged is not None:
        raise InputError(f"what came is damaged at {damaged}")


def _fetch(url: str, partial: Path) -> None:
    """Append to `partial` what it lacks of `url`; a transfer that breaks is gone on with."""
    attempt = retry(
        retry=retry_if_exception_type(_PASSING),
        stop=lambda state: (
            state.attempt_number >= (_TRIES if _length(partial) else min(_TRIES, _FIRST_TRIES))
        ),
        wait=wait_exponential(multiplier=_PAUSE, max=60),
        reraise=True,
    )
    with requests.Session() as session:
        # Before a body comes; Retry-After is respected. Proxies are those of the environment.
        adapter = HTTPAdapter(
            max_retries=Retry(total=4, connect=1, backoff_factor=_PAUSE, status_forcelist=_BUSY)
        )
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        while True:
            before = _length(partial)
            try:
                return attempt(_transfer)(session, url, partial)
            except _PASSING:
                if _length(partial) <= before:
                    raise


def _length(partial: Path) -> int:
    return partial.stat().st_size if partial.exists() else 0


def _transfer(session: requests.Session, url: str, partial: Path) -> None:
    note = partial.with_name(f"{partial.name}.json")
    start, headers = _rest(url, partial, note)
    headers["Accept-Encoding"] = "identity"  # the file's own bytes
    with session.get(url, stream=True, timeout=_PATIENCE, headers=headers) as response:
        if response.headers.get("Content-Range") == f"bytes */{start}":
            return  # status 416: nothing is lacking
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            _discard(partial)
            raise _BrokenTransferError(f"has no byte {start}: begun anew")
        response.raise_for_status()
        if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0
        note.write_text(json.dumps({"url": url, "validator": _validator(response)}))
        with partial.open("ab") as stream, _progress(response, start, partial) as bar:
            stream.truncate(start)
            try:
                # Fewer bytes than announced are an error of urllib3, not a short file.
                for piece in response.raw.stream(_PIECE, decode_content=False):
                    stream.write(piece)
                    bar.update(len(piece))
            except HTTPError as error:
                raise _BrokenTransferError(f"broke at byte {stream.tell()} ({error})") from None
            finally:
                stream.flush()
                os.fsync(stream.fileno())


def _rest(url: str, partial: Path, note: Path) -> tuple[int, dict[str, str]]:
    """Return how many bytes are there, and the headers that ask for the others."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        known, start = json.loads(note.read_text()), partial.stat().st_size
        wanted = {"Range": f"bytes={start}-"} if start else {}
        if known["url"] != url:
            return start, wanted  # the checksum will tell whether they fit together
        if known["validator"]:
            # If-Range: the rest if the file is still the same, or else the whole.
            return start, wanted and wanted | {"If-Range": known["validator"]}
    return 0, {}


def _validator(response: requests.Response) -> str:
    """Return a strong ETag or else the date (RFC 9110, 13.1.5); empty without both."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    partial.with_name(f"{partial.name}.json").unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(response: requests.Response, start: int, path: Path) -> Iterator[tqdm]:
    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    pause = 0.5 if sys.stderr.isatty() else 30  # seconds: a log needs fewer lines than a terminal
    options = {"unit": "B", "unit_scale": True, "mininterval": pause}
    with tqdm(total=total, initial=start, desc=path.name, **options) as bar:
        yield bar
