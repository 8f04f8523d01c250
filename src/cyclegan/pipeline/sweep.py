"""`cyclegan sweep`: a grid of settings as experiments of DVC, one after another, each in a copy of the project."""

import itertools
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from cyclegan import lineage
from cyclegan.errors import UserError
from cyclegan.history.cache import DVC

NAME = "sweep"
SHORT = 7  # digits of the commit in a name: experiments of several commits may be compared
SETTING = re.compile(r"([\w.]+)=(.+)", re.DOTALL)


def grid(settings: Sequence[str]) -> dict[str, dict[str, str]]:
    """Every combination of the values of `settings`, by a name that tells it from the others.

    Args:
        settings: each KEY=VALUE or KEY=VALUE,VALUE,...; of those with one key the last counts. What is in brackets or
            quotes is one value, commas and all.

    Raises:
        UserError: a setting that is none, or nothing that varies.
    """
    values: dict[str, list[str]] = {}
    for setting in settings:
        match = SETTING.fullmatch(setting)
        if match is None:
            raise UserError(f"-S {setting} is no setting; give it as KEY=VALUE,VALUE, such as loss.lambda_identity=0,0.5")
        whole = match[2].startswith(("[", "'", '"'))
        values[match[1]] = [match[2]] if whole else list(dict.fromkeys(match[2].split(",")))
    if not any(len(several) > 1 for several in values.values()):
        raise UserError(
            "nothing varies, so that there is nothing to compare; give a setting several values: -S KEY=VALUE,VALUE"
        )
    combinations = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    varied = [key for key, several in values.items() if len(several) > 1]
    named = {"-".join(_words(key, one[key]) for key in varied): one for one in combinations}
    if len(named) < len(combinations):
        raise UserError("two values are told apart by signs alone, which no name can hold; try them in sweeps of their own")
    return named


def _words(key: str, value: str) -> str:
    """What git takes for a part of a name."""
    return f"{key.rpartition('.')[2]}-{re.sub(r'[^0-9A-Za-z.-]+', '_', value).strip('_.')}"


def sweep(combinations: dict[str, dict[str, str]], root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Run each combination as an experiment that hangs from the present commit; yields name and settings before it runs.

    The workspace stays as it is. One of the same name, of a sweep before, is replaced; what DVC has of it is not run again.

    Raises:
        UserError: no repository, edits that git does not have, or an experiment that failed.
    """
    here = lineage.revision(root)
    if here.commit == "none":
        raise UserError("a sweep hangs from a commit, and this is no git repository with one; `git init` and commit first")
    if here.dirty:
        raise UserError(
            "the working tree has edits or new files that git does not have, so that no commit would be what the sweep "
            "hangs from; commit them (`git add -A`, `git commit`) or set them aside (`git stash -u`), and run it again"
        )
    for words, settings in combinations.items():
        name = f"{NAME}-{here.commit[:SHORT]}-{words}"
        yield name, settings
        if lineage.commits_named(root, name):
            _dvc(root, "exp", "remove", "--quiet", name)
        given = [part for key, value in settings.items() for part in ("--set-param", f"{key}={value}")]
        if _dvc(root, "exp", "run", "--temp", "--name", name, *given) != 0:
            raise UserError(f"{name} failed, as said above; mend that and run the sweep again: what is done stays")


def _dvc(root: Path, *arguments: str) -> int:
    return subprocess.run([*DVC, *arguments], cwd=root, check=False).returncode
