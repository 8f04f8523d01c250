"""The door of stages to git, with working_tree.py, and to dvc.yaml as data: what a training is, and on which commit."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cyclegan import working_tree
from cyclegan.config import Config

PREPARED = "data/prepared"  # the dependency of training that is data; dataset.json holds its digest
FIRST_WEIGHTS = "${train.init_from}"  # the one that a parameter names
TEMPLATE = re.compile(r"\$\{([\w.]+)\}")
CODE = ("src/", "stages/")
UNCOMMITTED = "uncommitted"  # among a run's artifacts: what differed from its commit
EXPERIMENTS = "refs/exps/"  # then two and 38 digits of the commit an experiment hangs from, and its name
LAUNCHER = "launcher"  # of the section train: how many processes compute, which is another rounding, not another training


@dataclass(frozen=True)
class Revision:
    """The state of the git repository.

    Attributes:
        commit: the full hash, or "none" outside a repository.
        branch: its name, or "detached".
        diff: what differs from the commit in tracked and new files, outputs of the pipeline apart, as
            `working_tree.difference` writes it; "" if nothing.
    """

    commit: str
    branch: str
    diff: str

    @property
    def dirty(self) -> bool:
        return self.diff != ""

    @property
    def diff_file(self) -> str:
        """What the difference is called as a file: another one has another name, so that none is taken for another's."""
        text = self.diff.encode(errors="surrogateescape")  # of files that are no UTF-8, too
        return f"{hashlib.sha256(text).hexdigest()[:12]}.diff"

    @property
    def uncommitted(self) -> str:
        """The artifact of a run that holds the difference; "" where there is none."""
        return f"{UNCOMMITTED}/{self.diff_file}" if self.dirty else ""


def project_root() -> Path:
    """The repository that DVC works for, also from within the temporary copy of an experiment; else the current folder."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def experiment_name() -> str | None:
    """The name of the DVC experiment that runs this process, if one does."""
    return os.environ.get("DVC_EXP_NAME")


def started_by() -> str:
    """What runs this process: "dvc exp run", "dvc repro", or "python script": a stage's script called by itself."""
    if experiment_name():
        return "dvc exp run"
    return "dvc repro" if os.environ.get("DVC_STAGE") else "python script"


def stages(workspace: Path) -> dict[str, Any]:
    """The stages of dvc.yaml as data."""
    pipeline: dict[str, Any] = yaml.safe_load((workspace / "dvc.yaml").read_text(encoding="utf-8"))
    return dict(pipeline["stages"])


def train_key(workspace: Path, config: Config, data_digest: str) -> str:
    """SHA-256 of all that dvc.yaml says training depends on: its validated parameters, the data, the code, first weights.

    The same in every clone and at any time; not random, so that it can name what a training makes.
    """
    stage = stages(workspace)["train"]
    code = [dep for dep in stage["deps"] if dep not in (PREPARED, FIRST_WEIGHTS)]
    first_weights = workspace / config.train.init_from
    identity = {
        "params": train_params(workspace, config),
        "data": data_digest,
        "code": code_digests(workspace, code),
        "first_weights": {
            file.relative_to(first_weights).as_posix(): _sha256(file)
            for file in sorted(first_weights.rglob("*.safetensors"))
        },
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def train_params(workspace: Path, config: Config) -> dict[str, Any]:
    """The parameters that a training is a function of: those that its stage declares, but for `train.launcher`."""
    values = declared(config, stages(workspace)["train"]["params"])
    return values | {"train": {name: value for name, value in values["train"].items() if name != LAUNCHER}}


def declared(config: Config, names: Iterable[str]) -> dict[str, Any]:
    """The sections and keys that a stage's `params` name, such as "loss" and "preprocess.mode", by those names."""
    values: dict[str, Any] = {}
    for name in names:
        value: Any = config.model_dump(mode="json")
        for part in name.split("."):
            value = value[part]
        values[name] = value
    return values


def code_digests(workspace: Path, dependencies: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of every file of the dependencies, by its path; caches of Python are no code."""
    files: set[Path] = set()
    for dependency in dependencies:
        path = workspace / dependency
        files |= set(path.rglob("*")) if path.is_dir() else {path}
    return {
        file.relative_to(workspace).as_posix(): _sha256(file)
        for file in sorted(files)
        if file.is_file() and "__pycache__" not in file.parts
    }


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def dependencies(workspace: Path, stage: str, config: Config) -> dict[str, str]:
    """All that dvc.yaml says a stage depends on, as it is now: a parameter or a file by its name, and what tells a change.

    Code is told by its digest; data, which may be large, by size and time of change.
    """
    declaration = stages(workspace)[stage]
    found = {f"params {name}": json.dumps(value) for name, value in declared(config, declaration["params"]).items()}
    for dependency in declaration["deps"]:
        path = workspace / _resolved(dependency, config)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if not file.is_file() or "__pycache__" in file.parts:
                continue
            if dependency.startswith(CODE):
                found[str(file)] = _sha256(file)
            else:
                status = file.stat()
                found[str(file)] = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
    return found


def _resolved(dependency: str, config: Config) -> str:
    """The path that a dependency such as ${train.init_from} stands for."""
    name = TEMPLATE.fullmatch(dependency)
    return str(declared(config, [name[1]])[name[1]]) if name else dependency


def outputs(workspace: Path) -> list[str]:
    """Every path that a stage of dvc.yaml writes."""
    paths: list[str] = []
    for stage in stages(workspace).values():
        for kind in ("outs", "metrics", "plots"):
            paths += [next(iter(entry)) if isinstance(entry, dict) else entry for entry in stage.get(kind, [])]
    return paths


def revision(workspace: Path) -> Revision:
    """Commit, branch and difference of the working tree."""
    commit = git(workspace, "rev-parse", "HEAD")
    if commit is None:
        return Revision("none", "none", "")
    branch = git(workspace, "rev-parse", "--abbrev-ref", "HEAD") or "HEAD"
    diff = working_tree.difference(workspace, ["dvc.lock", *outputs(workspace)])
    return Revision(commit, "detached" if branch == "HEAD" else branch, diff)


def has_uncommitted_edits(file: Path) -> bool:
    """Whether git would lose something if the file were overwritten: edits, staged or not, or a file it does not know.

    False outside a repository, where there is nothing to compare with.
    """
    return bool(git(file.parent, "status", "--porcelain", "--", file.name))


def full_hash(workspace: Path, abbreviated: str) -> str | None:
    """The hash of the commit that an abbreviated hash names; None where there is none."""
    found = git(workspace, "rev-parse", "--verify", "--quiet", f"{abbreviated}^{{commit}}")
    return found if found and found.startswith(abbreviated) else None


def commits_of_results(workspace: Path, since: str) -> list[str]:
    """Every commit, of any branch or experiment, that changed dvc.lock; those that follow the commit `since` first."""
    after = git(workspace, "rev-list", "--all", "--reverse", "--ancestry-path", f"^{since}", "--", "dvc.lock") or ""
    every = git(workspace, "rev-list", "--all", "--", "dvc.lock") or ""
    return list(dict.fromkeys([*after.split(), *every.split()]))


def fetch(workspace: Path, commit: str, path: Path, target: Path) -> bool:
    """Copy an output of the pipeline as a commit has it, from DVC's cache or a remote, to `target`; whether it is there."""
    options = ["--rev", commit, "--out", str(target), "--force", "--quiet"]
    command = [sys.executable, "-m", "dvc", "get", str(workspace), path.as_posix(), *options]
    done = subprocess.run(command, cwd=workspace, capture_output=True, check=False)
    return done.returncode == 0 and target.is_file()


def commits_named(workspace: Path, name: str) -> list[str]:
    """The commits that a name stands for: a hash, branch, tag or HEAD~1, else an experiment of DVC.

    Experiments of one name may hang from several commits; any other name is of one commit.
    """
    if name.startswith("-"):  # git would take it for an option
        return []
    found = git(workspace, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if found:
        return [found]
    experiments = git(workspace, "for-each-ref", "--format=%(objectname) %(refname)", EXPERIMENTS) or ""
    named = [line.split(" ", 1) for line in experiments.splitlines()]
    return sorted({commit for commit, ref in named if ref.split("/", 4)[-1] == name})


def subject_line(workspace: Path, commit: str) -> str:
    """The first line of a commit's message."""
    return git(workspace, "log", "-1", "--format=%s", commit) or ""


def file_at(workspace: Path, commit: str, path: Path) -> bytes | None:
    """A file that git keeps, as it is in a commit; None where it has none."""
    command = ["git", "show", f"{commit}:./{path.as_posix()}"]
    done = subprocess.run(command, cwd=workspace, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def first_commit_with(workspace: Path, text: str, path: Path) -> str | None:
    """The first commit, on the way here, in which a file holds a text; None where there is none."""
    found = git(workspace, "log", "--reverse", "--format=%H", f"-S{text}", "--", path.as_posix()) or ""
    return next(iter(found.split()), None)


def git(workspace: Path, *arguments: str) -> str | None:
    """What git answers, without the space around it; None where it fails, or there is none."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=workspace, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
