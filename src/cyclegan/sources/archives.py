"""Zip archives with trainA/, trainB/, testA/ and testB/: fetched, verified, unpacked safely."""

import hashlib
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.sources.catalogue import ARCHIVES, HOST
from cyclegan.sources.fetching import Progress, fetch, refuse_page
from cyclegan.sources.provenance import Provenance

SETS = ("trainA", "trainB", "testA", "testB")
CHUNK = 1 << 20  # bytes that are copied at once
MAX_EXPANSION = 20  # pictures hardly compress: an archive that unpacks to more than this times its size is an attack
MAX_ENTRIES = 1_000_000
MAX_NAME = 255  # bytes of a file's or folder's name, on every usual file system ...
MAX_PATH = 1000  # ... and of a path in an archive, which the path of the project comes before
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks other kinds without any bound on memory
NESTED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\..*)?", re.IGNORECASE)  # what Windows takes for one


def make(out: Path, name: str, url: str | None, sha256: str | None, downloads: Path, progress: Progress) -> Provenance:
    """Fetch the official archive `name` (or its mirror) into `downloads`, verify it and unpack its pictures into `out`.

    Raises:
        UserError: it cannot be fetched, is not the recorded archive, or is unsafe to unpack.
    """
    archive = ARCHIVES[name]
    address = url or f"{HOST}/{name}.zip"
    expected = sha256 or archive.sha256
    if address.startswith("file://"):
        path = _local(address)
    else:
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


def _local(address: str) -> Path:
    try:
        parts = urlsplit(address)
        path = Path(unquote(parts.path))
        if parts.netloc in ("", "localhost") and path.is_file():
            return path
    except (OSError, ValueError):  # a name that no file can have
        path = Path(address)
    raise UserError(
        f"dataset.url is {address} in params.yaml; there is no file {path}: write file:// and its absolute path"
    )


def verify(path: Path, expected: str, address: str) -> None:
    """Compare the file's SHA-256 with `expected`; a download of ours that differs is removed.

    Raises:
        UserError: they differ; names both, and the setting that accepts the other.
    """
    try:
        with path.open("rb") as file:
            start = file.read(CHUNK)
            file.seek(0)
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; mend that and run again") from None
    if actual != expected:
        if not address.startswith("file://"):
            path.unlink()
        refuse_page(start, address)
        raise UserError(
            f"{address} has the SHA-256 {actual}, but {expected} is recorded; if you trust it, set dataset.sha256 in "
            f"params.yaml to the first"
        )


def unpack(path: Path, out: Path) -> None:
    """Write the pictures below trainA/, trainB/, testA/ and testB/, wherever in the archive these lie, into `out`.

    All of them or none: nothing is written before every entry is judged, and what a damaged entry or a full disk
    interrupts is removed again.

    Raises:
        UserError: not a zip file, damaged, without pictures, or with a name, link or size that a data set never has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.orig_filename.endswith("/")]
            _refuse_attacks(path, members)
            placed = [(info, place) for info in members if (place := _place(info.filename))]
            _refuse_no_data_set(path, members, [place for _, place in placed])
            _write(archive, placed, out)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, OverflowError, ValueError) as error:
        raise UserError(f"{path} is not a readable zip archive: {error}; remove it and try again") from None


def _write(archive: zipfile.ZipFile, placed: list[tuple[zipfile.ZipInfo, PurePosixPath]], out: Path) -> None:
    try:
        for info, place in placed:
            target = out / place
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, CHUNK)
    except BaseException as error:
        for name in SETS:
            shutil.rmtree(out / name, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or error
        raise UserError(f"cannot write {error.filename or out}: {reason}; make room there, say, and run again") from None


def _refuse_attacks(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Judge every entry before the first is written; zipfile itself never reads past an entry's declared size."""
    size = path.stat().st_size
    if len(members) > MAX_ENTRIES:
        raise UserError(f"{path} holds {len(members):,} files, more than {MAX_ENTRIES:,}; do not trust it")
    for info in members:
        if fault := _fault(info, size):
            raise UserError(f"{path} holds {info.orig_filename[:MAX_NAME]!r}, {fault}")
    expanded = sum(info.file_size for info in members)
    if expanded > MAX_EXPANSION * size:
        raise UserError(f"{path} would unpack to {expanded:,} bytes, over {MAX_EXPANSION} times its size; do not trust it")


def _fault(info: zipfile.ZipInfo, size: int) -> str | None:
    """What speaks against unpacking this entry of an archive of `size` bytes."""
    name = PurePosixPath(info.orig_filename)  # what the archive says, before zipfile shortens or mends it
    outside = not name.parts or name.is_absolute() or ".." in name.parts or "\\" in info.orig_filename
    if outside or ":" in name.parts[0]:
        return "which leads out of its folder; do not trust this file"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device; a data set has none: do not trust this file"
    if any(unicodedata.category(letter) == "Cc" for letter in info.orig_filename):
        return "a name with control characters; do not trust this file"
    if any(DEVICE.fullmatch(part) for part in name.parts):
        return "which Windows takes for a device; rename it and pack the archive again"
    if len(info.orig_filename.encode()) > MAX_PATH or any(len(part.encode()) > MAX_NAME for part in name.parts):
        return f"a name of more than {MAX_NAME} bytes, or in too deep a folder; shorten it and pack the archive again"
    if info.flag_bits & 0x1:
        return "which is encrypted; pack the archive again without a password"
    if info.volume:
        return f"which lies in piece {info.volume} of a split archive; join the pieces (`zip -s 0`) and use the result"
    if info.compress_type not in PACKED:
        return "which is packed in an uncommon way; pack the archive again with deflate, as zip does by default"
    if not 0 <= info.header_offset < size:
        return "which lies outside the file; it is damaged: fetch it again"
    return None


def _refuse_no_data_set(path: Path, members: list[zipfile.ZipInfo], places: list[PurePosixPath]) -> None:
    """Training pictures of A must be there, and no two pictures may be one file on some system."""
    if not any(place.parts[0] == "trainA" for place in places):
        nested = [info.filename for info in members if info.filename.lower().endswith(NESTED)]
        hint = (
            f"; it holds archives ({', '.join(map(repr, nested[:3]))}): unpack it, and set dataset.url to the file:// "
            f"address of the one with the pictures, and dataset.sha256 to its digest"
            if nested
            else ""
        )
        raise UserError(f"{path} has no pictures in trainA; a data set has trainA, trainB, testA and testB{hint}")
    files = Counter(_folded(place) for place in places)
    folders = {_folded(folder) for folder in {parent for place in places for parent in place.parents}}
    for place in places:
        if files[_folded(place)] > 1 or _folded(place) in folders:
            raise UserError(
                f"{path} holds {str(place)!r} more than once, or under names that differ by case or accents alone, which "
                f"are one file on macOS and Windows; a data set has each picture once: rename them and pack it again"
            )


def _folded(place: PurePosixPath) -> str:
    """What file systems that know no case, or write accents in another way, take a name for."""
    return unicodedata.normalize("NFC", str(place).casefold())


def _place(filename: str) -> PurePosixPath | None:
    """NAME/trainA/x.jpg -> trainA/x.jpg; None for what is no picture of a set."""
    parts = PurePosixPath(filename).parts
    start = next((i for i, part in enumerate(parts) if part in SETS), None)
    if start is None or "__MACOSX" in parts or parts[-1].startswith(".") or not images.is_picture(Path(filename)):
        return None
    return PurePosixPath(*parts[start:])
