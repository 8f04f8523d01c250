"""Archives that attack, and servers that mislead: one clear error, bounded time and memory, nothing half unpacked."""

import errno
import hashlib
import io
import itertools
import resource
import stat
import struct
import time
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sources.server import Answer, Server, serve
from sources.test_archives import BODY, GOOD, PICTURE, PICTURES, fetch, ignore, tree, unpack, zipped

from cyclegan.errors import UserError
from cyclegan.sources import archives, fetching

BASE = {"f/trainA/a.jpg": PICTURE, "f/trainB/b.jpg": PICTURE}
LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"


def patched(data: bytes, *places: tuple[bytes, int, bytes]) -> bytes:
    """`data` with other bytes at an offset from the first of each signature."""
    result = bytearray(data)
    for signature, offset, value in places:
        start = result.index(signature) + offset
        result[start : start + len(value)] = value
    return bytes(result)


def with_mode(kind: int) -> bytes:
    buffer = io.BytesIO(GOOD)
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("facades/trainA/link.jpg")
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def with_zip64(field: int, value: int) -> bytes:
    """One entry whose central header leaves a field of four bytes to an extra field of eight."""
    data = zipped({"f/trainA/a.jpg": PICTURE})
    start, end = data.index(CENTRAL), data.index(END)
    entry = patched(data[start:end], (CENTRAL, field, b"\xff" * 4), (CENTRAL, 30, struct.pack("<H", 12)))
    entry += struct.pack("<HHQ", 1, 8, value)
    return data[:start] + entry + struct.pack("<4s4H2LH", END, 0, 0, 1, 1, len(entry), start, 0)


def overlapping(entries: int) -> bytes:
    """Many entries that share the bytes of one, as in the bomb of 42 kB that unpacks to 5 GB."""
    data = zipped({"f/trainA/a.bmp": bytes(3_000_000)}, zipfile.ZIP_DEFLATED)
    start, end = data.index(CENTRAL), data.index(END)
    directory = data[start:end] * entries
    return data[:start] + directory + struct.pack("<4s4H2LH", END, 0, 0, entries, entries, len(directory), start, 0)


def lying_bomb(compression: int) -> bytes:
    """A hundred megabytes that say they are a hundred bytes."""
    data = zipped({"f/trainA/a.bmp": bytes(100_000_000)}, compression)
    size = (100).to_bytes(4, "little")
    return patched(data, (LOCAL, 22, size), (CENTRAL, 24, size))


def encrypted() -> bytes:
    return patched(zipped(BASE), (LOCAL, 6, b"\1"), (CENTRAL, 8, b"\1"))


def of_method(method: int) -> bytes:
    value = struct.pack("<H", method)
    return patched(zipped(BASE), (LOCAL, 8, value), (CENTRAL, 10, value))


def more(name: str) -> bytes:
    return zipped({**BASE, name: PICTURE})


ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "NUL that shortens a name": (lambda: more("f/trainA/c.jpg\0.exe"), "control characters"),
    "NUL that makes a folder of it": (lambda: more("f/trainA/\0c.jpg"), "control characters"),
    "terminal codes": (lambda: more("f/trainA/\x1b[31m\nc.jpg"), "control characters"),
    "a long name": (lambda: more(f"f/trainA/{'a' * 252}.jpg"), "more than 255 bytes.*shorten it"),
    "a long name in few letters": (lambda: more(f"f/trainA/{'é' * 126}.jpg"), "more than 255 bytes.*shorten it"),
    "a deep folder": (lambda: more(f"f/trainA/{'a/' * 600}a.jpg"), "too deep a folder"),
    "another case": (lambda: more("f/trainA/A.jpg"), "differ by case or accents.*rename"),
    "another case of the suffix": (lambda: more("f/trainA/a.JPG"), "differ by case or accents.*rename"),
    "another case of a set's folder": (lambda: more("g/trainA/a.jpg"), "'trainA/a.jpg' more than once"),
    "other accents": (
        lambda: zipped(
            {**BASE, **{f"f/trainA/{unicodedata.normalize(form, 'é')}.png": PICTURE for form in ("NFC", "NFD")}}
        ),
        "differ by case or accents",
    ),
    "a file that is a folder": (lambda: more("f/trainA/a.jpg/b.jpg"), "'trainA/a.jpg' more than once"),
    "a file that is a folder in another case": (lambda: more("f/trainA/A.jpg/b.jpg"), "'trainA/a.jpg' more than once"),
    "a device": (lambda: more("f/trainA/CON.jpg"), "which Windows takes for a device"),
    "a device with two suffixes": (lambda: more("f/trainA/lpt1 .x.jpg"), "which Windows takes for a device"),
    "a device as a folder": (lambda: more("f/trainA/aux/x.jpg"), "which Windows takes for a device"),
    "a network path": (lambda: more("\\\\server\\trainA\\x.jpg"), "leads out"),
    "a link": (lambda: with_mode(stat.S_IFLNK), "a link or a device.*do not trust"),
    "a pipe": (lambda: with_mode(stat.S_IFIFO), "a link or a device.*do not trust"),
    "a block device": (lambda: with_mode(stat.S_IFBLK), "a link or a device.*do not trust"),
    "a character device": (lambda: with_mode(stat.S_IFCHR), "a link or a device.*do not trust"),
    "a socket": (lambda: with_mode(stat.S_IFSOCK), "a link or a device.*do not trust"),
    "a password": (encrypted, "encrypted.*without a password"),
    "a piece of a split archive": (lambda: patched(zipped(BASE), (CENTRAL, 34, b"\1")), "piece 1 of a split archive.*join"),
    "the last bytes alone": (lambda: zipped(BASE)[300:], "outside the file.*fetch it again"),
    "an offset of 2^64 - 1": (lambda: with_zip64(42, 2**64 - 1), "outside the file"),
    "an offset of 2^62": (lambda: with_zip64(42, 2**62), "outside the file"),
    "a size of 2^64 - 1": (lambda: with_zip64(24, 2**64 - 1), "would unpack to 18,446,744,073,709,551,615 bytes"),
    "overlapping entries": (lambda: overlapping(500), "would unpack to 1,500,000,000 bytes"),
    "a bomb in bzip2": (lambda: lying_bomb(zipfile.ZIP_BZIP2), "packed in an uncommon way.*deflate"),
    "a bomb in lzma": (lambda: lying_bomb(zipfile.ZIP_LZMA), "packed in an uncommon way.*deflate"),
    "a bomb in deflate": (lambda: lying_bomb(zipfile.ZIP_DEFLATED), "not a readable zip archive"),
    "a method nobody has": (lambda: of_method(99), "packed in an uncommon way.*deflate"),
    "archives in the archive": (
        lambda: zipped({"a/horse2zebra.zip": GOOD, "a/readme.txt": b"x"}),
        r"no pictures in trainA.*it holds archives \('a/horse2zebra\.zip'\): unpack it.*file://.*dataset\.sha256",
    ),
    "an archive of another kind in it": (lambda: zipped({"x.TAR.GZ": PICTURE}), r"it holds archives \('x\.TAR\.GZ'\)"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_archive_that_attacks_is_one_clear_error(tmp_path: Path, attack: str) -> None:
    make, words = ATTACKS[attack]
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=rf"(?s)x\.zip .*{words}") as caught:
            unpack(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
    assert tree(tmp_path) == {"x.zip": data}
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500 + len(str(tmp_path))


def test_harmless_oddities_are_read(tmp_path: Path) -> None:
    pictures = {
        "trainA/2010-09-07 12:19:57.jpg": PICTURE,
        "trainA/a..%2fx.jpg": PICTURE,
        "trainA/\u202econsole.jpg": PICTURE,
    }
    assert unpack(tmp_path / "names", zipped({f"~/{name}": data for name, data in pictures.items()})) == pictures
    assert unpack(tmp_path / "before", b"junk" * 99 + GOOD) == PICTURES
    assert unpack(tmp_path / "after", GOOD + b"junk" * 99) == PICTURES


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped({f"trainA/{index}.png": b"" for index in range(11)})
    monkeypatch.setattr(archives, "MAX_ENTRIES", 10)
    with pytest.raises(UserError, match=r"x\.zip holds 11 files, more than 10"):
        unpack(tmp_path, data)
    assert tree(tmp_path) == {"x.zip": data}


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """small_disk(n): from now on no file of this process may have more than n bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing(tmp_path: Path, small_disk: Callable[[int], None]) -> None:
    data = zipped({"trainA/0.bmp": PICTURE, "trainA/1.bmp": PICTURE * 2000, "trainB/0.bmp": PICTURE})
    (tmp_path / "x.zip").write_bytes(data)
    small_disk(400_000)
    with pytest.raises(UserError, match=r"cannot write .*: File too large; make room there, say, and run again"):
        archives.unpack(tmp_path / "x.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_damage_in_the_last_picture_leaves_nothing(tmp_path: Path) -> None:
    data = bytearray(zipped({"trainA/0.bmp": PICTURE, "trainA/1.bmp": PICTURE}))
    data[data.rindex(PICTURE)] ^= 1
    with pytest.raises(UserError, match=r"x\.zip is not a readable zip archive: Bad CRC"):
        unpack(tmp_path, bytes(data))
    assert tree(tmp_path) == {"x.zip": bytes(data)}


# --- servers ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(BODY) as running:
        yield running


def complaint(server: Server, folder: Path, size: int | None = len(BODY)) -> str:
    with pytest.raises(UserError) as caught:
        fetching.fetch(f"{server.address}/x.zip", folder / "x.zip", size, ignore, wait_seconds=0)
    assert not (folder / "x.zip").exists()
    message = str(caught.value)
    assert f"{server.address}/x.zip" in message
    assert "dataset.url" in message
    return message


PAGES = [b"<!DOCTYPE html><title>Log in</title>", b"\xef\xbb\xbf\r\n <HTML>", b"<?xml version='1.0'?><Error/>"]


@pytest.mark.parametrize("size", [len(BODY), None])
@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("page", PAGES)
def test_a_web_page_is_named_as_such_and_replaces_no_part(
    server: Server, tmp_path: Path, page: bytes, length: bool, size: int | None
) -> None:
    (tmp_path / "x.zip.part").write_bytes(BODY[:1000])
    server.usual = Answer(body=page, length=length)
    message = complaint(server, tmp_path, size)
    assert "is a web page, such as a login or an error, and no archive; open it in a browser" in message
    assert len(server.requests) == 1
    assert tree(tmp_path) == {"x.zip.part": BODY[:1000]}
    server.usual = Answer()
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.requests[-1] == 1000


def test_a_web_page_that_was_saved_as_an_archive_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(PAGES[0])
    address = (tmp_path / "x.zip").as_uri()
    with pytest.raises(UserError, match=r"file://.*x\.zip is a web page"):
        archives.make(tmp_path / "out", "facades", address, None, tmp_path, ignore)
    assert (tmp_path / "x.zip").exists()


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [len(BODY), None])
def test_an_empty_file_is_named_as_such(server: Server, tmp_path: Path, size: int | None, length: bool) -> None:
    server.usual = Answer(body=b"", length=length)
    assert "is an empty file; set dataset.url to a mirror" in complaint(server, tmp_path, size)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("there", ["/there.zip", "there.zip", "{}/there.zip", "//{0}/there.zip"])
def test_a_redirect_is_followed(server: Server, tmp_path: Path, status: int, there: str) -> None:
    host = server.address.removeprefix("http://") if there.startswith("//") else server.address
    server.answers = [Answer(status=status, location=there.format(host))]
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.paths == ["/x.zip", "/there.zip"]


def test_a_redirect_in_letters_of_any_language_is_followed(server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(status=302, location="/façade.zip".encode().decode("latin-1"))]  # as servers send UTF-8
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.paths == ["/x.zip", "/fa%C3%A7ade.zip"]


def test_each_connection_asks_for_its_range_wherever_it_is_led(server: Server, tmp_path: Path) -> None:
    moved = Answer(status=302, location="/there.zip")
    server.answers = [moved, Answer(cut=1_500_000), moved, Answer()]
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.requests == [0, 0, *[server.requests[2]] * 2]
    assert server.requests[2] >= 1_000_000


@pytest.mark.parametrize(
    "there",
    ["file:///etc/passwd", "ftp://127.0.0.1/x.zip", "data:application/zip,PK", "gopher://x/", "javascript:0", "C:/x.zip"],
)
def test_a_redirect_to_another_scheme_is_refused_at_once(server: Server, tmp_path: Path, there: str) -> None:
    server.usual = Answer(status=302, location=there)
    assert f"to {there}, which is refused: only http and https are followed" in complaint(server, tmp_path)
    assert len(server.requests) == 1
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("here", "location", "there"),
    [
        ("http://a/x", "https://b/y", "https://b/y"),
        ("HTTPS://a/x", "HTTPS://b/y", "https://b/y"),
        ("https://a/x/y", "../z", "https://a/z"),
        ("https://a/x", "//b/y", "https://b/y"),
        ("https://a/x", "http://a/x", None),
        ("https://a/x", "HTTP://a/x", None),
        ("https://a/x", "file:///etc/passwd", None),
    ],
)
def test_https_is_never_left(here: str, location: str, there: str | None) -> None:
    if there is not None:
        assert fetching._led_on("http://start", here, location) == there
        return
    with pytest.raises(UserError, match=r"http://start is redirected from .*, and https not to http; set dataset\.url"):
        fetching._led_on("http://start", here, location)


def test_redirects_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(status=302, location="/x.zip")
    assert "is redirected more than 5 times, last to" in complaint(server, tmp_path)
    assert len(server.requests) == fetching.REDIRECTS + 1


@pytest.mark.parametrize("location", [None, "http://[::1"])
def test_a_redirect_to_nowhere_is_an_error(server: Server, tmp_path: Path, location: str | None) -> None:
    server.usual = Answer(status=302, location=location)
    complaint(server, tmp_path)
    assert len(server.requests) == 1


def test_bytes_of_another_place_are_never_joined_on(server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(cut=1_500_000), Answer(shift=7)]
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.requests[1] > 0
    assert server.requests[2:] == [0]


def test_a_server_that_always_sends_another_place_is_given_up(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(cut=1_500_000, shift=7)
    assert "cannot download" in complaint(server, tmp_path)
    assert len(server.requests) == 1 + fetching.ATTEMPTS


def test_a_server_without_ranges_that_breaks_elsewhere_each_time_is_given_up(server: Server, tmp_path: Path) -> None:
    """Each connection brings bytes, and none brings the end any nearer."""
    cuts = [900_000, 300_000, 800_000, 250_000, 700_000, 600_000, 850_000, 100_000, 500_000]
    server.answers = [Answer(cut=cut, ranges=False) for cut in cuts]
    server.usual = Answer()
    assert "cannot download" in complaint(server, tmp_path)
    assert len(server.requests) == 1 + fetching.ATTEMPTS


def test_a_server_that_gets_a_byte_further_each_time_is_given_up(server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(cut=900_000 + index, ranges=False) for index in range(99)]
    assert "cannot download" in complaint(server, tmp_path)
    assert len(server.requests) == 1 + fetching.ATTEMPTS


@pytest.fixture
def long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds pass with every piece that arrives."""
    now = itertools.count(step=10)
    monkeypatch.setattr(fetching, "time", SimpleNamespace(monotonic=lambda: next(now), sleep=time.sleep))


@pytest.mark.usefixtures("long_waits")
def test_a_server_that_trickles_is_given_up_and_the_part_kept(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(trickle=20)
    message = complaint(server, tmp_path)
    assert "bytes came in 60 s" in message
    assert len(server.requests) == fetching.ATTEMPTS
    kept = (tmp_path / "x.zip.part").read_bytes()
    assert 0 < len(kept) < fetching.PROGRESS
    assert BODY.startswith(kept)


@pytest.mark.usefixtures("long_waits")
def test_a_slow_server_that_brings_enough_is_borne(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(trickle=100_000)
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert len(server.requests) == 1


def test_a_server_that_sends_more_than_the_archive_is_stopped(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(length=False)
    server.body = BODY * 20
    seen: list[int] = []
    with pytest.raises(UserError, match="the server sent something else"):
        fetching.fetch(server.address, tmp_path / "x.zip", len(BODY), lambda done, _: seen.append(done), 0)
    assert seen[-1] <= len(BODY) + fetching.CHUNK
    assert tree(tmp_path) == {}


def test_a_server_that_has_another_file_costs_no_part(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.zip.part").write_bytes(BODY[:1000])
    server.answers = [Answer(body=b"PK, but of something else")]
    assert "25 bytes, but the recorded archive has 3,000,000" in complaint(server, tmp_path)
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.requests == [1000, 1000]


def test_a_file_that_changed_on_the_server_meanwhile_is_noticed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.zip.part").write_bytes(BODY[:1000])
    server.body = BODY + b"more"
    assert "3,000,004 bytes, but the recorded archive has 3,000,000" in complaint(server, tmp_path)
    assert tree(tmp_path) == {}


def test_a_disk_that_fills_up_while_downloading_keeps_the_part(
    server: Server, tmp_path: Path, small_disk: Callable[[int], None]
) -> None:
    small_disk(1_000_000)
    with pytest.raises(
        UserError,
        match=r"cannot write .*x\.zip\.part: File too large; make room there, say, and run again \(the [1-9][\d,]+ bytes",
    ):
        fetch(server, tmp_path)
    small_disk(10_000_000)
    kept = (tmp_path / "x.zip.part").read_bytes()
    assert len(kept) > 500_000
    assert kept == BODY[: len(kept)]
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.requests == [0, len(kept)]


@pytest.mark.parametrize("place", ["", "below/"])
def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file.*; make room there"):
        fetching.fetch(server.address, tmp_path / f"file/{place}x.zip", None, ignore, wait_seconds=0)


@pytest.mark.parametrize("address", ["file://elsewhere/{}", "file://[::1/x.zip", "file:///a%00b", "file:///" + "a" * 300])
def test_file_addresses_that_lead_nowhere(tmp_path: Path, address: str) -> None:
    (tmp_path / "x.zip").write_bytes(GOOD)
    with pytest.raises(UserError, match=r"dataset\.url is file:.*there is no file"):
        archives.make(tmp_path / "out", "facades", address.format(tmp_path / "x.zip"), None, tmp_path, ignore)


def test_an_archive_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.zip").write_bytes(GOOD)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    with pytest.raises(UserError, match=r"cannot read .*x\.zip: Input/output error; mend that"):
        archives.verify(tmp_path / "x.zip", "0" * 64, "file:///x.zip")
