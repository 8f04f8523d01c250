"""What is to be logged waits here, on disk, until MLflow has it: nothing is lost with a server, a network or a process.

`.tracking/<id>/` holds `about.json` (which run it is for), `queue.jsonl` (a record a line, in order) and the files that
records name. It exists only while something waits.
"""

import contextlib
import json
import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from filelock import FileLock, Timeout

Record = dict[str, Any]
FOLDER = Path(".tracking")  # in the project's folder
ABOUT, QUEUE, FILES, LOCK = "about.json", "queue.jsonl", "files", "lock"
SAVE_SECONDS = 1.0  # between two attempts to write to a disk that was full


class BusyError(Exception):
    """Another process writes to this outbox, or has just removed it."""


class Outbox:
    """Records for one MLflow run, in the order in which they are to be sent; safe to use from several threads.

    Args:
        folder: `.tracking/<id>`; records that an earlier process left in it are sent first.
        about: which run the records are for; None to go on with what the folder says.
        patience: seconds to wait for another process that sends what waits there.

    Attributes:
        waiting: the records, each as a line of JSON.
        last_written: when an earlier process last wrote to it, in ms since 1970.
        unsaved: files of records that could not be written yet, by the folder that they are for.

    Raises:
        BusyError: another process holds it.
        OSError: the folder cannot be written; without it nothing could be kept.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any] | None = None, patience: float = 0.0) -> None:
        self.folder, self.queue = folder, folder / QUEUE
        self.lock = _hold(folder, patience, new=about is not None)
        self.mutex = threading.RLock()
        self.saved = True  # whether the file holds all that waits
        self.tried = 0.0
        self.unsaved: dict[str, Mapping[str, bytes]] = {}
        self.closed = False
        try:
            self.about = _about(folder, about)
            self.last_written = int(1000 * (self.queue.stat().st_mtime if self.queue.exists() else time.time()))
            self.waiting: deque[str] = deque(_whole_lines(self.queue))
            if self.queue.exists() and self.queue.stat().st_size != sum(map(len, self.waiting)):
                self._rewrite()
        except BaseException:
            self.lock.release()
            raise

    def add(self, kind: str, **values: Any) -> None:
        """Append a record; where the disk is full it waits in memory."""
        line = json.dumps({"kind": kind, "time": int(time.time() * 1000), **values}) + "\n"
        with self.mutex:
            if self.closed:
                return
            self.waiting.append(line)
            if self.saved:
                try:
                    with self.queue.open("a", encoding="utf-8") as file:
                        file.write(line)
                except OSError as error:
                    self.saved = False
                    self._cannot_save(error)
            if not self._complete() and time.monotonic() - self.tried >= SAVE_SECONDS:
                self._save()

    def attach(self, kind: str, files: Mapping[str, bytes], **values: Any) -> None:
        """Append a record with files, by their names."""
        with self.mutex:
            name = f"{FILES}/{uuid4().hex}"
            complete = self._complete()
            self.unsaved[name] = files
            if complete:
                self._save()
            self.add(kind, attached=name, **values)

    def first(self, limit: int) -> list[Record]:
        """The oldest records, at most `limit`."""
        with self.mutex:
            lines = [] if self.closed else [line for line, _ in zip(self.waiting, range(limit), strict=False)]
        return [json.loads(line) for line in lines]

    def attached(self, record: Record) -> dict[str, bytes]:
        """The files of a record by name; none where they were sent by a process that was killed before it could say so."""
        with self.mutex:
            if record["attached"] in self.unsaved:
                return dict(self.unsaved[record["attached"]])
        return {file.name: file.read_bytes() for file in sorted((self.folder / record["attached"]).glob("*"))}

    def sent(self, records: list[Record]) -> None:
        """Forget the oldest records, and their files: they are delivered."""
        with self.mutex:
            if self.closed:  # another process may be sending them now
                return
            for record in records:
                self.waiting.popleft()
                if "attached" in record:
                    self.unsaved.pop(record["attached"], None)
                    shutil.rmtree(self.folder / record["attached"], ignore_errors=True)
            if not self.waiting:  # until then a crash means that some are sent twice, which delivery can tell
                self._rewrite()

    def __len__(self) -> int:
        return len(self.waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> bool:
        """Let others have it; removes it if nothing waits. Returns whether all that waits is on the disk."""
        with self.mutex:
            if self.closed:
                return True
            if self.waiting:
                self._save()
            else:
                _remove(self.folder)
            self.closed = True
            self.lock.release()
            return not self.waiting or self._complete()

    def _complete(self) -> bool:
        return self.saved and not self.unsaved

    def _save(self) -> None:
        """Write what is not on the disk yet, as far as there is room."""
        for name, files in list(self.unsaved.items()):
            folder = self.folder / name
            try:
                folder.mkdir(parents=True, exist_ok=True)
                for file, content in files.items():
                    (folder / file).write_bytes(content)
                del self.unsaved[name]
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                self._cannot_save(error)
                break
        if not self.saved:
            self._rewrite()

    def _rewrite(self) -> None:
        try:
            _write_whole(self.queue, "".join(self.waiting))
            self.saved = True
        except OSError as error:
            self.saved = False
            self._cannot_save(error)

    def _cannot_save(self, error: OSError) -> None:
        if self.tried == 0.0:
            say(f"warning: {self.folder} cannot be written: {error.strerror}; what is for MLflow waits in memory")
        self.tried = time.monotonic()


def say(text: str) -> None:
    """Print a line; that the screen is gone stops nothing."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def left_behind(root: Path) -> list[tuple[Path, Record]]:
    """The outboxes of a project and what they are for: trainings before what was added to them later, older ones first."""
    found: list[tuple[bool, int, Path, Record]] = []
    for path in (root / FOLDER).glob(f"*/{ABOUT}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # just removed, or never whole
            about = _at_home(json.loads(path.read_text(encoding="utf-8")), root)
            found.append((about["training_id"] is None, about["time"], path.parent, about))
    return [(folder, about) for *_, folder, about in sorted(found, key=lambda entry: entry[:3])]


def _hold(folder: Path, patience: float, *, new: bool) -> FileLock:
    while True:
        if new:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # a store's address may hold a password
        elif not (folder / ABOUT).exists():
            raise BusyError
        lock = FileLock(folder / LOCK, thread_local=False)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            raise BusyError from None
        except FileNotFoundError:  # another process was done with it just now, and removed it
            continue
        if new or (folder / ABOUT).exists():
            return lock
        _remove(folder)
        lock.release()


def _remove(folder: Path) -> None:
    """The lock goes last: who takes it then finds nothing that is still to go."""
    with contextlib.suppress(OSError):
        (folder / ABOUT).unlink(missing_ok=True)  # without it, what a kill leaves of the rest is no outbox
        shutil.rmtree(folder / FILES, ignore_errors=True)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == LOCK):
            path.unlink()
        folder.rmdir()


def _about(folder: Path, about: Mapping[str, Any] | None) -> Record:
    """What the folder is for: as given, and since when as an earlier process wrote; else all as it wrote."""
    path = folder / ABOUT
    before: Record = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        before = json.loads(path.read_text(encoding="utf-8"))
    if about is None:
        return _at_home(before, folder.parents[1])
    whole = {"time": before.get("time", int(time.time() * 1000)), **about}
    _write_whole(path, json.dumps(whole) + "\n")
    return whole


def _at_home(about: Record, root: Path) -> Record:
    """What an outbox is for; in a project that was moved since, or copied, a store in its folder is where that is now."""
    before = about.get("root", str(root))
    if before != str(root):
        kind, _, database = about["store"]["uri"].partition(":///")
        about["store"] |= {
            name: f"{root}{place.removeprefix(before)}"
            for name, place in about["store"].items()
            if name in ("artifacts", "lock") and place and place.startswith(f"{before}/")
        }
        if kind.startswith("sqlite") and database.startswith(f"{before}/"):
            about["store"]["uri"] = f"{kind}:///{root}{database.removeprefix(before)}"
    return about


def _whole_lines(path: Path) -> list[str]:
    """The records of a queue; a line that a killed process or a full disk cut short is none."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line.decode() for line in lines if _is_record(line)]


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line.decode())
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(record, dict) and "kind" in record


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
