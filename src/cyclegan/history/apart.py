"""A commit in a folder of its own, whose work leaves nothing behind in git, DVC, MLflow or checkpoints of the user's."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cyclegan.errors import UserError
from cyclegan.history.cache import CACHE, DVC, configuration

END_SECONDS = 30.0  # how long what is interrupted may take to end; a training writes a checkpoint
# Of the environment, what speaks of another workspace or another run; DVC passes DVC_ROOT on where it is set.
FOREIGN = ("DVC_EXP_", "DVC_ROOT", "DVC_STAGE", "DVC_STUDIO_", "GIT_", "MLFLOW_")
DOWNLOADS = ".downloads"  # where archives are kept that the first stage brought
REFERENCES = ("refs/heads", "refs/tags", "refs/exps", "refs/remotes")
QUIET_GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")


@dataclass(frozen=True)
class Apart:
    """A commit, checked out in a folder of its own.

    Attributes:
        base: the folder that holds all of it, and goes with it.
        folder: the project in it.
        cache: DVC's cache of the user's workspace, which it shares.
        environment: what its processes are given: the commit's code first on Python's path, a store of runs of its own.
    """

    base: Path
    folder: Path
    cache: Path
    environment: Mapping[str, str]

    @property
    def database(self) -> Path:
        """The store of runs that is thrown away, as a file."""
        return _database(self.base)

    @property
    def store(self) -> str:
        """The same as MLflow takes it."""
        return f"sqlite:///{self.database}"

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask this commit's DVC something that takes seconds; the answer is captured."""
        return subprocess.run(
            [*DVC, *arguments], cwd=self.folder, env=dict(self.environment), capture_output=True, text=True, check=False
        )

    def run(self, *command: str) -> int:
        """Run what takes long, showing all it prints on standard error; returns its exit status.

        An interruption ends it, and all that it started, before it goes on its way.
        """
        process = subprocess.Popen(
            command, cwd=self.folder, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=2, start_new_session=True
        )
        try:
            return process.wait()
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its group: asked first, so that DVC ends its stage, and then made to."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(END_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def apart(root: Path, commit: str, *, keep: bool) -> Iterator[Apart]:
    """Check a commit out into a new folder outside the workspace; removed at the end unless `keep`, whatever happens.

    The folder is a git repository of its own that borrows the objects of the user's, with the same branches, tags and
    experiments, and shares DVC's cache and remotes.

    Raises:
        UserError: there is no room for it, or git or DVC refuses.
    """
    base = Path(tempfile.mkdtemp(prefix=f"cyclegan-{commit[:8]}-")).resolve()
    try:
        with _signals_raise():
            folder = _borrow(root, commit, base)
            cache = _share_cache(root, folder)
            (base / "temporary").mkdir()
            yield Apart(base, folder, cache, environment(base, folder))
    except OSError as error:
        raise UserError(
            f"cannot write {base}: {error.strerror}; make room, or let TMPDIR name a folder with more"
        ) from None
    finally:
        if not keep:
            _remove(base)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Let the signals that end a process without a word end it as Ctrl-C does."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove(base: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # who presses Ctrl-C twice wants it gone, too
    try:
        shutil.rmtree(base, ignore_errors=True)
    finally:
        signal.signal(signal.SIGINT, before)
    if base.exists():
        print(f"warning: {base} could not be removed; remove it by hand", file=sys.stderr)


def environment(base: Path, folder: Path) -> dict[str, str]:
    """The environment of processes in `folder`, which keep what they leave behind under `base`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    store = f"sqlite:///{_database(base)}"
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(folder / "src"),  # an editable install would bring the workspace's code
        "TMPDIR": str(base / "temporary"),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(base / "dvc"),
        "MLFLOW_TRACKING_URI": store,
        "CYCLEGAN_TRACKING_URI": store,  # which wins over tracking.uri in params.yaml
    }


def _database(base: Path) -> Path:
    return base / "mlflow.db"


def _borrow(root: Path, commit: str, base: Path) -> Path:
    """Make the repository, and return the project's folder in it, which may be one of several in a larger repository."""
    top = base / "project"
    _git(base, "init", "--quiet", "--template=", str(top))
    info = top / ".git/objects/info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "alternates").write_text(f"{_path_of(root, 'objects')}\n", encoding="utf-8")
    shallow = _path_of(root, "shallow")
    if shallow.is_file():
        shutil.copy(shallow, top / ".git/shallow")
    _git(top, "checkout", "--quiet", "--detach", commit)
    references = _git(root, "for-each-ref", "--format=create %(refname) %(objectname)", *REFERENCES)
    subprocess.run(["git", "update-ref", "--stdin"], cwd=top, env=_without_git(), input=references, text=True, check=True)
    folder = top / _git(root, "rev-parse", "--show-prefix").strip()
    downloads = [file for file in (root / DOWNLOADS).glob("*") if file.is_file() and file.suffix != ".part"]
    for file in downloads:  # checked by their digests wherever they are used
        (folder / DOWNLOADS).mkdir(exist_ok=True)
        (folder / DOWNLOADS / file.name).symlink_to(file.resolve())
    return folder


def _path_of(root: Path, name: str) -> Path:
    """A path of git's own folder, wherever that is: a worktree's and a submodule's lies elsewhere."""
    return (root / _git(root, "rev-parse", "--git-path", name).strip()).resolve()


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*QUIET_GIT, *arguments], cwd=folder, env=_without_git(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UserError(f"git {arguments[0]} failed in {folder}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _without_git() -> dict[str, str]:
    """The environment without the variables by which git's hooks point it at a repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _share_cache(root: Path, folder: Path) -> Path:
    """Let the folder use the cache and the remotes that the workspace uses now, as copies; returns the cache.

    Raises:
        UserError: no project of DVC, or its configuration cannot be read.
    """
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root} is no project of DVC (no .dvc); run in a clone of the project")
    known = configuration(root)
    cache = root / known.get("cache.dir", CACHE)
    sections: dict[str, dict[str, str]] = {"cache": {"dir": str(cache), "type": "copy"}}
    for name, value in known.items():
        section, _, option = name.partition(".")
        remote, _, key = option.rpartition(".")
        if section == "remote" and remote:
            sections.setdefault(f"'remote \"{remote}\"'", {})[key] = value
        elif name == "core.remote":
            sections["core"] = {"remote": value}
    entries = {title: "".join(f"    {key} = {value}\n" for key, value in each.items()) for title, each in sections.items()}
    (folder / ".dvc").mkdir(exist_ok=True)
    text = "".join(f"[{title}]\n{lines}" for title, lines in entries.items())
    (folder / ".dvc/config.local").write_text(text, encoding="utf-8")
    return cache
