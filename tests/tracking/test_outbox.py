"""What waits for MLflow: whole, in order and once, whatever happens to the process and the disk."""

import errno
import json
import resource
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan.tracking import outbox as module
from cyclegan.tracking.outbox import ABOUT, FILES, LOCK, QUEUE, BusyError, Outbox, left_behind

ABOUT_IT = {"training_id": "t", "train_key": "k", "store": {"uri": "http://user:secret@host"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".tracking" / "t"


def numbers(outbox: Outbox) -> list[int]:
    return [record["number"] for record in outbox.first(1_000_000)]


def abandon(outbox: Outbox) -> None:
    """As the end of a killed process does: the lock is let go, and nothing else happens."""
    outbox.lock.release()


@contextmanager
def no_room(monkeypatch: pytest.MonkeyPatch, at: str = "") -> Iterator[None]:
    """Within it, nothing can be written to files whose path contains `at`."""
    real = Path.open

    def full(path: Path, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        if mode[0] in "aw" and at in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, mode, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        patch.setattr(module, "SAVE_SECONDS", 0.0)
        yield


def test_records_come_in_order_with_their_time_until_they_are_sent(folder: Path) -> None:
    before = int(time.time() * 1000)
    with Outbox(folder, ABOUT_IT) as outbox:
        for number in range(5):
            outbox.add("curve", number=number, values={"ä": float("nan")})
        assert numbers(outbox) == [0, 1, 2, 3, 4]
        assert [record["number"] for record in outbox.first(2)] == [0, 1]
        assert before <= outbox.first(1)[0]["time"] <= time.time() * 1000
        outbox.sent(outbox.first(3))
        assert numbers(outbox) == [3, 4]
        assert len(outbox) == 2


def test_it_exists_only_while_something_waits(folder: Path) -> None:
    outbox = Outbox(folder, ABOUT_IT)
    outbox.attach("samples", {"a.png": b"a"})
    outbox.sent(outbox.first(1))
    assert not list((folder / FILES).iterdir())
    assert outbox.close()
    assert not folder.exists()
    outbox.add("curve")  # a thread that comes late
    assert outbox.first(1) == []
    assert not folder.exists()


def test_a_late_sender_takes_nothing_from_the_next_process(folder: Path) -> None:
    first = Outbox(folder, ABOUT_IT)
    first.attach("samples", {"a.png": b"a"})
    records = first.first(1)
    first.close()
    with Outbox(folder) as second:
        first.sent(records)
        assert len(second) == 1
        (record,) = second.first(1)
        assert second.attached(record) == {"a.png": b"a"}


def test_only_its_owner_may_read_it(folder: Path) -> None:
    with Outbox(folder, ABOUT_IT) as outbox:
        outbox.add("curve")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "the address may hold a password"


def test_a_process_holds_it_alone(folder: Path) -> None:
    with Outbox(folder, ABOUT_IT) as outbox:
        outbox.add("curve", number=1)
        for about in (None, ABOUT_IT):
            with pytest.raises(BusyError):
                Outbox(folder, about)
    with Outbox(folder) as outbox:
        assert numbers(outbox) == [1]


def test_one_that_waits_for_it_goes_on_where_the_other_ends(folder: Path) -> None:
    outbox = Outbox(folder, ABOUT_IT)
    outbox.add("curve", number=1)
    threading.Timer(0.3, outbox.close).start()
    with Outbox(folder, ABOUT_IT, patience=10) as other:
        assert numbers(other) == [1]
        other.sent(other.first(1))
        timer = threading.Timer(0.3, other.close)
        timer.start()
        with Outbox(folder, ABOUT_IT, patience=10) as third:  # the second removes it meanwhile
            timer.join()
            third.add("curve", number=2)
            assert json.loads((folder / ABOUT).read_text())["training_id"] == "t"
            assert json.loads((folder / QUEUE).read_text())["number"] == 2


def test_what_has_just_been_removed_is_busy_and_leaves_nothing(folder: Path) -> None:
    with pytest.raises(BusyError):
        Outbox(folder)
    assert not folder.exists()


def test_what_it_is_for_can_change_but_not_since_when(folder: Path) -> None:
    first = Outbox(folder, ABOUT_IT)
    first.add("curve")
    first.close()
    time.sleep(0.01)
    with Outbox(folder, ABOUT_IT | {"train_key": "other"}) as second:
        assert second.about == first.about | {"train_key": "other"}
    assert first.about["time"] <= time.time() * 1000


def test_it_knows_when_its_last_process_wrote(folder: Path) -> None:
    first = Outbox(folder, ABOUT_IT)
    first.add("curve")
    written = (folder / QUEUE).stat().st_mtime
    abandon(first)
    for _ in range(2):  # looking does not change it
        time.sleep(0.02)
        second = Outbox(folder)
        assert second.last_written == int(written * 1000)
        abandon(second)


@pytest.fixture(scope="module")
def full_queue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("full") / "t"
    outbox = Outbox(folder, ABOUT_IT)
    for number in range(3):
        outbox.add("curve", number=number, values={"loss/x": 0.5})
    abandon(outbox)
    return folder, (folder / QUEUE).read_bytes()


def test_killed_at_any_byte_it_keeps_what_was_whole_and_goes_on(full_queue: tuple[Path, bytes]) -> None:
    folder, content = full_queue
    for length in range(len(content) + 1):
        (folder / QUEUE).write_bytes(content[:length])
        outbox = Outbox(folder)
        whole = content[:length].count(b"\n")
        assert numbers(outbox) == list(range(whole)), length
        outbox.add("curve", number=7)
        abandon(outbox)
        again = Outbox(folder)
        assert numbers(again) == [*range(whole), 7], length
        abandon(again)


@given(
    garbage=st.binary(max_size=40)
    | st.sampled_from([b"null\n", b"[1]\n", b"{}\n", b'"kind"\n', b"\0" * 9, b"\xff\n", b"1\n"])
)
def test_garbage_at_the_end_is_no_record(full_queue: tuple[Path, bytes], garbage: bytes) -> None:
    folder, content = full_queue
    (folder / QUEUE).write_bytes(content + garbage)
    outbox = Outbox(folder)
    assert numbers(outbox) == [0, 1, 2]
    outbox.add("curve", number=3)
    abandon(outbox)
    assert (folder / QUEUE).read_bytes().startswith(content), "what was whole is still there"
    assert len((folder / QUEUE).read_bytes().splitlines()) == 4


def test_killed_before_it_could_forget_what_is_sent_it_takes_the_lost_files_for_sent(folder: Path) -> None:
    first = Outbox(folder, ABOUT_IT)
    for number in range(3):
        first.attach("samples", {"a.png": b"%d" % number}, number=number)
    first.sent(first.first(2))
    abandon(first)  # the queue is rewritten only when it is empty
    second = Outbox(folder)
    assert numbers(second) == [0, 1, 2]
    second.attach("samples", {"a.png": b"3"}, number=3)
    contents = [second.attached(record).get("a.png") for record in second.first(9)]
    assert contents == [None, None, b"2", b"3"], "no record may find another's files"
    second.sent(second.first(2))
    assert [second.attached(record) for record in second.first(9)] == [{"a.png": b"2"}, {"a.png": b"3"}]


def test_attached_files_lie_beside_it_by_name(folder: Path) -> None:
    with Outbox(folder, ABOUT_IT) as outbox:
        outbox.attach("samples", {"b.png": b"b", "a.png": b"a"}, step=4)
        (record,) = outbox.first(1)
        assert (record["kind"], record["step"]) == ("samples", 4)
        assert list(outbox.attached(record).items()) == [("a.png", b"a"), ("b.png", b"b")]


def test_what_a_full_disk_refuses_waits_in_memory_and_is_written_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = Outbox(folder, ABOUT_IT)
    outbox.add("curve", number=0)
    with no_room(monkeypatch):
        for number in (1, 2):
            outbox.add("curve", number=number)
        outbox.attach("samples", {"a.png": b"a"}, number=3)
        assert numbers(outbox) == [0, 1, 2, 3]
        assert outbox.attached(outbox.first(4)[3]) == {"a.png": b"a"}
    assert capsys.readouterr().out.count("warning") == 1, "one warning, not a flood"
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.0)
    outbox.add("curve", number=4)
    abandon(outbox)
    again = Outbox(folder)
    assert numbers(again) == [0, 1, 2, 3, 4]
    assert again.attached(again.first(4)[3]) == {"a.png": b"a"}


def test_files_without_room_leave_room_for_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(folder, ABOUT_IT)
    with no_room(monkeypatch, at=f"/{FILES}/"):
        outbox.attach("samples", {"a.png": b"a"}, number=0)
        outbox.add("curve", number=1)
        outbox.add("curve", number=2)
        abandon(outbox)
        assert numbers(Outbox(folder)) == [0, 1, 2]


def test_a_full_disk_is_not_tried_at_every_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(folder, ABOUT_IT)
    attempts = []
    with no_room(monkeypatch):
        monkeypatch.setattr(module, "SAVE_SECONDS", 3600.0)
        real = module._write_whole
        monkeypatch.setattr(module, "_write_whole", lambda path, text: (attempts.append(path), real(path, text)))
        for number in range(100):
            outbox.add("curve", number=number)
    assert len(attempts) <= 1
    assert outbox.close(), "at the end it is tried whatever the time"
    assert numbers(Outbox(folder)) == list(range(100))


def test_closing_says_what_the_disk_did_not_take(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for attach in (False, True):
        outbox = Outbox(folder, ABOUT_IT)
        with no_room(monkeypatch):
            outbox.attach("samples", {"a.png": b"a"}) if attach else outbox.add("curve")
            assert not outbox.close()
        shutil.rmtree(folder)


def test_what_was_sent_from_memory_is_not_written_any_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(folder, ABOUT_IT)
    with no_room(monkeypatch):
        outbox.add("curve", number=0)
        outbox.add("curve", number=1)
        outbox.sent(outbox.first(1))
    outbox.close()
    assert numbers(Outbox(folder)) == [1]


def test_a_limit_of_the_system_cuts_a_line_and_loses_nothing(tmp_path: Path) -> None:
    """A file that may not grow cuts the line that reaches the limit, unlike an opening that fails."""
    limit = 2000
    program = f"""
        from pathlib import Path
        from cyclegan.tracking import outbox as module
        module.SAVE_SECONDS = 0.0
        outbox = module.Outbox(Path({str(tmp_path / "t")!r}), {ABOUT_IT!r})
        for number in range(100):
            outbox.add("curve", number=number)
        print(outbox.queue.stat().st_size, len(outbox), outbox.saved)
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        print(outbox.close())
    """
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard)),
        capture_output=True,
        text=True,
        check=True,
    )
    size, waiting, saved, kept = done.stdout.split()[-4:]
    assert (waiting, saved, kept) == ("100", "False", "True")
    assert int(size) <= limit
    assert done.stdout.count("warning") == 1
    assert numbers(Outbox(tmp_path / "t")) == list(range(100))


def test_a_folder_that_cannot_be_made_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        Outbox(tmp_path / "file" / "t", ABOUT_IT)
    with no_room(monkeypatch, at=ABOUT.partition(".")[0]), pytest.raises(OSError, match="No space left"):
        Outbox(tmp_path / "t", ABOUT_IT)
    with Outbox(tmp_path / "t", ABOUT_IT) as outbox:  # and the lock was let go
        outbox.add("curve")


@settings(max_examples=20)
@given(st.lists(st.integers(1, 3), max_size=12))
def test_threads_that_write_and_one_that_sends_lose_and_double_nothing(tmp_path_factory: Any, batches: list[int]) -> None:
    folder = tmp_path_factory.mktemp("threads") / "t"
    outbox = Outbox(folder, ABOUT_IT)
    delivered: list[tuple[str, int]] = []
    ended = threading.Event()

    def write(kind: str) -> None:
        for number in range(40):
            if number % 8:
                outbox.add(kind, number=number)
            else:
                outbox.attach(kind, {"a": kind.encode()}, number=number)

    def send() -> None:
        limits = iter(batches)
        while not ended.is_set() or len(outbox):
            records = outbox.first(next(limits, 7))
            for record in records:
                if "attached" in record:
                    assert outbox.attached(record) == {"a": record["kind"].encode()}
            delivered.extend((record["kind"], record["number"]) for record in records)
            outbox.sent(records)

    writers = [threading.Thread(target=write, args=(kind,)) for kind in ("a", "b")]
    sender = threading.Thread(target=send)
    for thread in (sender, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    sender.join()
    for kind in ("a", "b"):
        assert [number for one, number in delivered if one == kind] == list(range(40))
    assert (folder / QUEUE).read_text() == ""
    outbox.close()
    assert not folder.exists()


def test_left_behind_are_trainings_first_then_the_older(tmp_path: Path) -> None:
    order = [("c", None, 1), ("a", "x", 5), ("b", "y", 3), ("d", None, 0)]
    for name, training_id, when in order:
        outbox = Outbox(tmp_path / ".tracking" / name, {"training_id": training_id, "time": when})
        outbox.add("curve")
        outbox.close()
    (tmp_path / ".tracking" / "never-whole").mkdir()
    broken = tmp_path / ".tracking" / "broken"
    broken.mkdir()
    (broken / ABOUT).write_text('{"training_id"')
    found = left_behind(tmp_path)
    assert [(folder.name, about["time"]) for folder, about in found] == [("b", 3), ("a", 5), ("d", 0), ("c", 1)]
    assert left_behind(tmp_path / "elsewhere") == []


def test_removing_it_leaves_no_outbox_behind_wherever_it_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        removed.append(path.name)
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    outbox = Outbox(folder, ABOUT_IT)
    outbox.add("end")
    outbox.sent(outbox.first(1))
    outbox.close()
    assert removed == [ABOUT, QUEUE, LOCK], "first what makes it an outbox, last what keeps others away"
