"""Zip archives with trainA/, trainB/, testA/ and testB/: fetched to disk, verified, unpacked safely."""

import hashlib
import lzma
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.sources.catalogue import ARCHIVES, HOST
from cyclegan.sources.folder import SETS
from cyclegan.sources.provenance import Provenance

CHUNK = 1 << 20  # bytes
ATTEMPTS = 5  # connections in a row that may fail without bringing a byte
MAX_EXPANSION = 20  # pictures hardly compress: an archive that unpacks to more than this times its size is an attack

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


def make(out: Path, name: str, url: str | None, sha256: str | None, downloads: Path, progress: Progress) -> Provenance:
    """Fetch the official archive `name` (or its mirror) into `downloads`, verify it and unpack its pictures into `out`.

    Raises:
        UserError: it cannot be fetched, is not the recorded archive, or is unsafe to unpack.
    """
    archive = ARCHIVES[name]
    address = url or f"{HOST}/{name}.zip"
    expected = sha256 or archive.sha256
    if address.startswith("file://"):
        path = Path(unquote(urlsplit(address).path))
        if not path.is_file():
            raise UserError(f"dataset.url is {address} in params.yaml; there is no file {path}")
    else:
        downloads.mkdir(parents=True, exist_ok=True)
        path = downloads / f"{name}-{expected[:12]}.zip"
        if not path.exists():
            fetch(address, path, archive.size if sha256 is None else None, progress)
    verify(path, expected, address)
    unpack(path, out)
    return Provenance(
        name=name,
        domain_A=archive.domain_A,
        domain_B=archive.domain_B,
        licence="see the data set's authors",
        attribution=f"{name} of the CycleGAN data sets (Zhu, Park, Isola, Efros 2017)",
        paired_test=False,
    )


def fetch(address: str, target: Path, size: int | None, progress: Progress, wait_seconds: float = 1.0) -> None:
    """Stream `address` to `target`, continuing a part that an earlier connection left in `target`.part.

    A connection that breaks or stalls for 30 s is opened again where it stopped, after a pause that starts at
    `wait_seconds` and doubles. `target` appears only when it is whole.

    Raises:
        UserError: the server refuses, `ATTEMPTS` connections in a row bring nothing, or the size is not `size` bytes.
    """
    part = target.with_name(target.name + ".part")
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _continue(address, part, progress)
            break
        except (requests.exceptions.InvalidURL, requests.TooManyRedirects) as error:
            raise UserError(f"cannot download {address}: {error}; mend dataset.url in params.yaml") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            after = part.stat().st_size if part.exists() else 0
            failures = 0 if after > before else failures + 1
            if failures == ATTEMPTS:
                raise UserError(
                    f"cannot download {address}: {_reason(error)}; try again later (the {after:,} bytes already here "
                    f"will be used), or set dataset.url to a mirror or a file:// address"
                ) from None
            time.sleep(wait_seconds * 2 ** max(0, failures - 1))
    arrived = part.stat().st_size
    if size is not None and arrived != size:
        part.unlink()
        raise UserError(
            f"{address} has {arrived:,} bytes, but the recorded archive has {size:,}; the server sent something else: "
            f"set dataset.url to a mirror, and dataset.sha256 if its archive differs"
        )
    part.rename(target)


def _continue(address: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    headers["Accept-Encoding"] = "identity"  # ranges and lengths count the archive's own bytes
    with requests.get(address, stream=True, timeout=(15, 30), headers=headers) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable and have:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return  # the part was whole already
            part.unlink()
            raise requests.ConnectionError("the part on disk is longer than the file; starting anew")
        if response.status_code >= 500:
            raise requests.ConnectionError(f"the server answered {response.status_code} {response.reason}")
        if response.status_code not in (requests.codes.ok, requests.codes.partial_content):
            raise UserError(
                f"cannot download {address}: the server answered {response.status_code} {response.reason}; "
                f"set dataset.url to a mirror or a file:// address"
            )
        resumed = response.status_code == requests.codes.partial_content
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.raw.read1(CHUNK):  # what has arrived: a broken connection loses none of it
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
    if total is not None and have < total:
        raise requests.ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")


def _reason(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", cause))


def verify(path: Path, expected: str, address: str) -> None:
    """Compare the file's SHA-256 with `expected`; a download of ours that differs is removed.

    Raises:
        UserError: they differ; names both, and the setting that accepts the other.
    """
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        if not address.startswith("file://"):
            path.unlink()
        raise UserError(
            f"{address} has the SHA-256 {actual}, but {expected} is recorded; if you trust it, set dataset.sha256 in "
            f"params.yaml to the first"
        )


def unpack(path: Path, out: Path) -> None:
    """Write the pictures below trainA/, trainB/, testA/ and testB/, wherever in the archive these lie, into `out`.

    Raises:
        UserError: not a zip file, damaged, without pictures, or with a name, link or size that a data set never has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.filename.endswith("/")]
            _refuse_attacks(path, members)
            placed = [(info, place) for info in members if (place := _place(info.filename))]
            if not any(place.parts[0] == "trainA" for _, place in placed):
                raise UserError(f"{path} has no pictures in trainA; a data set has trainA, trainB, testA and testB")
            if len({place for _, place in placed}) < len(placed):
                raise UserError(f"{path} holds two pictures of one name and set; a data set has trainA only once")
            for info, place in placed:
                target = out / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, CHUNK)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        raise UserError(f"{path} is not a readable zip archive: {error}; remove it and try again") from None


def _refuse_attacks(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Judge every entry before the first is written; zipfile itself never reads past an entry's declared size."""
    for info in members:
        name = PurePosixPath(info.filename)
        if not name.parts or name.is_absolute() or ".." in name.parts or "\\" in info.filename or ":" in name.parts[0]:
            raise UserError(
                f"{path} holds the name {info.filename!r}, which leads out of its folder; do not trust this file"
            )
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UserError(f"{path} holds the link {info.filename!r}; a data set has none: do not trust this file")
    expanded = sum(info.file_size for info in members)
    if expanded > MAX_EXPANSION * path.stat().st_size:
        raise UserError(f"{path} would unpack to {expanded:,} bytes, over {MAX_EXPANSION} times its size; do not trust it")


def _place(filename: str) -> PurePosixPath | None:
    """NAME/trainA/x.jpg -> trainA/x.jpg; None for what is no picture of a set."""
    parts = PurePosixPath(filename).parts
    start = next((i for i, part in enumerate(parts) if part in SETS), None)
    if start is None or "__MACOSX" in parts or parts[-1].startswith(".") or not images.is_picture(Path(filename)):
        return None
    return PurePosixPath(*parts[start:])
