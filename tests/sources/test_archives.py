"""Archives: every way a download can go wrong ends in the right bytes or in one clear error, and nothing escapes."""

import contextlib
import hashlib
import io
import random
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sources.server import Answer, Server, serve

from cyclegan.errors import UserError
from cyclegan.sources import archives, fetching
from cyclegan.sources.catalogue import ARCHIVES, Archive
from cyclegan.sources.folder import SETS

BODY = random.Random(0).randbytes(3_000_000)
ACCEPTED_LOSS = 64 * 1024  # bytes that a broken connection may cost


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(BODY) as running:
        yield running


def make_impatient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Give a silent server so many seconds in place of 30."""
    get = requests.Session.get

    def quick(*args: Any, **kwargs: Any) -> requests.Response:
        assert kwargs["timeout"] is not None
        return get(*args, **{**kwargs, "timeout": (5, seconds)})

    monkeypatch.setattr(fetching.requests.Session, "get", quick)


def ignore(done: int, total: int | None) -> None:
    """A progress callback for tests that do not look at progress."""


def fetch(server: Server, folder: Path, size: int | None = len(BODY)) -> Path:
    target = folder / "x.zip"
    fetching.fetch(f"{server.address}/x.zip", target, size, ignore, wait_seconds=0)
    assert not target.with_name("x.zip.part").exists()
    return target


def test_a_good_server_is_asked_once_and_progress_is_told(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetching.fetch(f"{server.address}/x.zip", tmp_path / "x.zip", len(BODY), lambda *now: seen.append(now), 0)
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert server.requests == [0]
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {len(BODY)}


def test_bytes_are_asked_for_as_they_are(server: Server, tmp_path: Path) -> None:
    # A server that compresses on the fly announces the compressed length, and its ranges count compressed bytes.
    fetch(server, tmp_path)
    assert server.headers[0].get("accept-encoding", "identity") == "identity"


def test_without_an_announced_length_the_bytes_are_right_too(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(length=False)
    seen: list[tuple[int, int | None]] = []
    fetching.fetch(f"{server.address}/x.zip", tmp_path / "x.zip", len(BODY), lambda *now: seen.append(now), 0)
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert seen[-1] == (len(BODY), None)


@pytest.mark.parametrize("cut", [200_000, 700_000, 1_500_000])
def test_broken_connections_continue_where_they_stopped(server: Server, tmp_path: Path, cut: int) -> None:
    server.usual = Answer(cut=cut)
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert len(server.requests) >= len(BODY) / cut
    assert server.requests == sorted(set(server.requests))
    again = sum(server.sent) - len(BODY)
    assert again <= ACCEPTED_LOSS * (len(server.requests) - 1)


def test_a_connection_broken_while_sending_chunks_continues(server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(cut=2_000_000, length=False), Answer(cut=500_000, length=False)]
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.requests[1] > 0


def test_a_stalled_connection_is_opened_again_where_it_stopped(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_impatient(monkeypatch, 1.0)
    server.answers = [Answer(cut=2_000_000, stall=True)]
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert len(server.requests) == 2
    assert server.requests[1] >= 2_000_000 - ACCEPTED_LOSS


def test_a_server_that_only_stalls_is_given_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_impatient(monkeypatch, 0.4)
    server.usual = Answer(cut=0, stall=True)
    with pytest.raises(UserError, match=r"cannot download .*dataset\.url"):
        fetch(server, tmp_path)
    assert len(server.requests) == fetching.ATTEMPTS


def test_a_server_without_ranges_starts_anew_and_doubles_nothing(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(ranges=False)
    server.answers = [Answer(cut=2_500_000, ranges=False), Answer(cut=1_200_000, ranges=False)]
    seen: list[tuple[int, int | None]] = []
    fetching.fetch(f"{server.address}/x.zip", tmp_path / "x.zip", len(BODY), lambda *now: seen.append(now), 0)
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert server.sent == [2_500_000, 1_200_000, len(BODY)]
    assert seen[-1] == (len(BODY), len(BODY))
    assert {total for _, total in seen} == {len(BODY)}


def test_a_server_without_ranges_that_always_breaks_is_given_up(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(cut=1_500_000, ranges=False)
    with pytest.raises(UserError, match="cannot download"):
        fetch(server, tmp_path)
    assert fetching.ATTEMPTS <= len(server.requests) <= fetching.ATTEMPTS + 1


def test_a_part_of_an_earlier_process_is_used(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.zip.part").write_bytes(BODY[:1_234_567])
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.requests == [1_234_567]
    assert server.sent == [len(BODY) - 1_234_567]


def test_a_part_that_is_already_whole_brings_no_byte_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.zip.part").write_bytes(BODY)
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.sent == []


def test_a_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.zip.part").write_bytes(BODY + b"more")
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.requests == [len(BODY) + 4, 0]


def test_a_refusal_ends_at_once_and_names_the_remedy(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(status=404)
    with pytest.raises(UserError, match=r"404 Not Found.*dataset\.url.*file://"):
        fetch(server, tmp_path)
    assert server.requests == [0]
    assert list(tmp_path.iterdir()) == []


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(status=500), Answer(status=503)]
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert len(server.requests) == 3


def test_a_server_in_lasting_trouble_is_given_up_and_the_part_kept(server: Server, tmp_path: Path) -> None:
    server.usual = Answer(status=500)
    server.answers = [Answer(cut=1_500_000)]
    with pytest.raises(UserError, match=r"500 Internal Server Error.*[1-9],\d{3},\d{3} bytes already here"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1 + fetching.ATTEMPTS
    kept = (tmp_path / "x.zip.part").read_bytes()
    assert kept == BODY[: len(kept)]
    assert len(kept) >= 1 << 20


def test_failures_count_anew_once_a_byte_has_come(server: Server, tmp_path: Path) -> None:
    nearly = [Answer(status=500)] * (fetching.ATTEMPTS - 1)
    server.answers = [*nearly, Answer(cut=1_500_000), *nearly, Answer(cut=1_200_000), *nearly]
    assert fetch(server, tmp_path).read_bytes() == BODY


def test_pauses_double_while_nothing_comes(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(fetching.time, "sleep", pauses.append)
    server.usual = Answer(status=500)
    with pytest.raises(UserError):
        fetching.fetch(f"{server.address}/x.zip", tmp_path / "x.zip", None, ignore, wait_seconds=3)
    assert pauses == [3 * 2**n for n in range(fetching.ATTEMPTS - 1)]


def test_nobody_listening_is_a_clear_error(tmp_path: Path) -> None:
    with serve(b"") as server:
        address = server.address
    with pytest.raises(UserError, match=rf"cannot download {address}/x\.zip.*dataset\.url"):
        fetching.fetch(f"{address}/x.zip", tmp_path / "x.zip", None, ignore, wait_seconds=0)


@pytest.mark.parametrize("address", ["http://", "http://[::1", "http://a b/x.zip"])
def test_an_address_that_is_none_is_a_clear_error(tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match=r"dataset\.url"):
        fetching.fetch(address, tmp_path / "x.zip", None, ignore, wait_seconds=0)


def test_another_size_than_recorded_names_both_and_keeps_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3,000,000 bytes.*3,000,001.*dataset\.url.*dataset\.sha256"):
        fetch(server, tmp_path, size=len(BODY) + 1)
    assert list(tmp_path.iterdir()) == []


# --- from the address to pictures -------------------------------------------------------------------------------------


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in entries.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # the constructor would mend it
            info.compress_type = compression
            archive.writestr(info, data)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


PICTURE = random.Random(1).randbytes(400)  # nothing here decodes pictures
PICTURES = {
    "trainA/a.jpg": PICTURE,
    "trainA/deep/er/b.PNG": PICTURE[:300],
    "trainB/a.jpg": PICTURE[:200],
    "testA/c.jpeg": PICTURE[:100],
    "testB/c.tif": PICTURE[:50],
}
GOOD = zipped({f"facades/{name}": data for name, data in PICTURES.items()})


def recorded(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    archive = Archive(len(data), hashlib.sha256(data).hexdigest(), "façades", "labels")
    monkeypatch.setitem(ARCHIVES, "facades", archive)


def test_an_archive_by_name_comes_from_the_host_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, GOOD)
    with serve(GOOD) as server:
        monkeypatch.setattr(archives, "HOST", f"{server.address}/datasets")
        for out in (tmp_path / "1", tmp_path / "2"):
            provenance = archives.make(out, "facades", None, None, tmp_path / "downloads", ignore)
            assert tree(out) == PICTURES
        assert server.paths == ["/datasets/facades.zip"]
    assert (provenance.name, provenance.domain_A, provenance.domain_B) == ("facades", "façades", "labels")
    assert provenance.paired_test is False


def test_an_archive_from_a_file_address_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, GOOD)
    path = tmp_path / "my archive é.zip"
    path.write_bytes(GOOD)
    archives.make(tmp_path / "out", "facades", path.as_uri(), None, tmp_path / "downloads", ignore)
    assert tree(tmp_path / "out") == PICTURES
    assert not (tmp_path / "downloads").exists()
    with pytest.raises(UserError, match="SHA-256"):
        archives.make(tmp_path / "out", "facades", path.as_uri(), "0" * 64, tmp_path / "downloads", ignore)
    assert path.read_bytes() == GOOD


def test_a_file_address_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.url .*there is no file .*nothing\.zip"):
        archives.make(tmp_path / "out", "facades", (tmp_path / "nothing.zip").as_uri(), None, tmp_path, ignore)


def test_a_corrupt_byte_is_noticed_and_the_file_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, GOOD)
    corrupt = bytearray(GOOD)
    corrupt[100] ^= 1
    digests = [hashlib.sha256(data).hexdigest() for data in (bytes(corrupt), GOOD)]
    with serve(bytes(corrupt)) as server:
        with pytest.raises(UserError, match=rf"{digests[0]}.*{digests[1]}.*dataset\.sha256"):
            archives.make(tmp_path / "out", "facades", server.address, None, tmp_path / "downloads", ignore)
        assert tree(tmp_path) == {}
        server.body = GOOD
        archives.make(tmp_path / "out", "facades", server.address, None, tmp_path / "downloads", ignore)
    assert tree(tmp_path / "out") == PICTURES


def test_a_repacked_mirror_is_accepted_by_its_own_digest(tmp_path: Path) -> None:
    with serve(GOOD) as server:
        with pytest.raises(UserError, match=rf"{len(GOOD):,} bytes.*35,135,868"):
            archives.make(tmp_path / "out", "facades", server.address, None, tmp_path / "downloads", ignore)
        digest = hashlib.sha256(GOOD).hexdigest()
        archives.make(tmp_path / "out", "facades", server.address, digest, tmp_path / "downloads", ignore)
    assert tree(tmp_path / "out") == PICTURES


# --- unpacking --------------------------------------------------------------------------------------------------------


def unpack(folder: Path, data: bytes) -> dict[str, bytes]:
    """Unpack `data` into a folder two levels deep, and make sure that nothing appears beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.zip").write_bytes(data)
    out = folder / "deep" / "out"
    try:
        archives.unpack(folder / "x.zip", out)
    finally:
        assert {name for name in tree(folder) if not name.startswith("deep/out/")} == {"x.zip"}
        assert not any(path.is_symlink() for path in folder.rglob("*"))
        assert not out.exists() or {path.name for path in out.iterdir()} <= set(SETS)
    return tree(out)


@pytest.mark.parametrize("root", ["", "facades/", "my horses/v2/", "./"])
def test_pictures_land_in_their_sets_whatever_the_root(tmp_path: Path, root: str) -> None:
    assert unpack(tmp_path, zipped({root + name: data for name, data in PICTURES.items()})) == PICTURES


def test_what_is_no_picture_of_a_set_is_left_out(tmp_path: Path) -> None:
    others = {
        "facades/": b"",
        "facades/trainA/": b"",
        "facades/readme.txt": b"hello",
        "facades/cover.jpg": PICTURE,
        "facades/trainA/.DS_Store": b"x",
        "facades/trainA/list.csv": b"x",
        "facades/val/x.jpg": PICTURE,
        "__MACOSX/facades/trainA/._a.jpg": b"x",
        "facades/trainA": b"",
    }
    data = zipped({**others, **{f"facades/{name}": data for name, data in PICTURES.items()}})
    assert unpack(tmp_path, data) == PICTURES


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg",
        "facades/../../trainA/evil.jpg",
        "facades/trainA/../../../evil.jpg",
        "/tmp/trainA/evil.jpg",
        "//trainA/evil.jpg",
        "facades\\..\\trainA\\evil.jpg",
        "..\\evil.jpg",
        "C:/trainA/evil.jpg",
        "c:evil.jpg",
        "../notes.txt",
        ".",
        "",
    ],
)
def test_a_name_that_leads_out_refuses_the_whole_archive(tmp_path: Path, name: str) -> None:
    data = zipped({f"facades/{known}": data for known, data in PICTURES.items()} | {name: PICTURE})
    with pytest.raises(UserError, match=r"x\.zip"):
        unpack(tmp_path, data)
    assert not (tmp_path / "deep").exists()


def test_a_link_refuses_the_whole_archive(tmp_path: Path) -> None:
    buffer = io.BytesIO(GOOD)
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("facades/trainA/link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"'facades/trainA/link\.jpg', a link"):
        unpack(tmp_path, buffer.getvalue())
    assert not (tmp_path / "deep").exists()


def test_absurd_expansion_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    data = zipped({"facades/trainA/a.jpg": bytes(5_000_000)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="5,000,000 bytes"):
        unpack(tmp_path, data)
    assert not (tmp_path / "deep").exists()


def test_an_entry_never_gives_more_than_it_declares(tmp_path: Path) -> None:
    data = bytearray(zipped({"facades/trainA/a.bmp": bytes(1_000_000)}, zipfile.ZIP_DEFLATED))
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):  # the uncompressed size, in both headers
        place = data.index(signature) + offset
        data[place : place + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(UserError):
        unpack(tmp_path, bytes(data))
    assert sum(map(len, tree(tmp_path / "deep").values())) <= 1000


@pytest.mark.parametrize("data", [b"", b"hello", b"<!DOCTYPE html>", GOOD[:-30], GOOD[: len(GOOD) // 2]])
def test_what_is_no_zip_file_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UserError, match=r"x\.zip is not a readable zip archive"):
        unpack(tmp_path, data)


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"facades/readme.txt": b"x"},
        {"facades/train/a.jpg": PICTURE},
        {"facades/trainA/a.txt": b"x"},
        {"facades/trainB/a.jpg": PICTURE},
    ],
)
def test_an_archive_without_training_pictures_says_what_it_needs(tmp_path: Path, entries: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match="trainA, trainB, testA and testB"):
        unpack(tmp_path, zipped(entries))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_no_damage_gets_past_as_anything_but_an_error(tmp_path_factory: pytest.TempPathFactory, compression: int) -> None:
    good = zipped({"f/trainA/é.png": b"abc" * 20, "f/trainB/b.png": PICTURE[:40]}, compression)
    folder = tmp_path_factory.mktemp("damage")
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 0xFF
        with contextlib.suppress(UserError):  # it may also be readable still
            unpack(folder / str(place), bytes(damaged))


PIECES = st.sampled_from(["..", ".", "", "trainA", "testB", "a", "a.png", "C:", "\\", "..\\", " ", "__MACOSX", "~", "%2e"])


@settings(deadline=None, max_examples=150, derandomize=True)
@given(names=st.lists(st.lists(PIECES, min_size=1, max_size=5).map("/".join), max_size=4, unique=True))
@example(names=["trainA/a", "trainA/a.png/b"])  # a file where a folder must be
def test_no_name_writes_outside_the_target(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    data = zipped({"f/trainA/0.png": PICTURE} | {f"{name}.png" if name else "x.png": PICTURE for name in names})
    folder = tmp_path_factory.mktemp("names")
    try:
        placed = unpack(folder, data)
    except UserError:
        return
    assert placed["trainA/0.png"] == PICTURE
    assert len(placed) <= 1 + len(names)
