"""`cyclegan compare`: commits and runs side by side, as git and MLflow have them."""

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclegan import config as configuration
from cyclegan import lineage, tracking
from cyclegan.comparison.side_by_side import Comparison, compare
from cyclegan.comparison.subject import Subject
from cyclegan.errors import UserError
from cyclegan.evaluation import certainty, outcome
from cyclegan.evaluation.certainty import Score
from cyclegan.evaluation.outcome import DIRECTIONS, SUBJECT, Outcome
from cyclegan.history.runs import workspace_store
from cyclegan.pipeline import paths

PARAMS = Path("params.yaml")
WORKSPACE = "workspace"  # what a user calls the files as they are now
SHORT = 8  # digits of a commit, or of a run's id
# Settings of scores, where the evaluation names none; the first two are those of older ones.
PROTOCOL = ("evaluate.kid_subsets", "evaluate.kid_subset_size", "evaluate.feature_network")
HASH = re.compile("[0-9a-f]{32,64}")
SPELLED = {"None": "null", "True": "true", "False": "false"}
RUN_FOLDER = "evaluation"  # of a run's artifacts
RUN_SCORE = re.compile(r"test/(A_to_B|B_to_A)/(\w+)/(\w+)")
RUN_ERROR = "_se"
RUN_HEALTH = "health/"


def compare_all(
    names: Sequence[str], root: Path, metrics: Sequence[str], directions: Sequence[str], *, pictures: bool = False
) -> Comparison:
    """Put the named commits and runs side by side; see `report.comparison.compare`.

    Args:
        names: each a name of a commit, the name of an experiment of DVC, "workspace", or the id of an MLflow run.
        root: the project's folder.
        pictures: whether test pictures are to be shown, by their names as far as those can be found out.

    Raises:
        UserError: there is nothing of a name, or it has no results; the store of runs cannot be reached.
    """
    subjects = [subject(name, root) for name in names]
    return compare(_with_files(subjects, names, root) if pictures else subjects, metrics, directions)


def _with_files(subjects: list[Subject], names: Sequence[str], root: Path) -> list[Subject]:
    """The subjects with the names of their test pictures; those of a commit lie in DVC's cache or remote, if at all.

    Whoever is scored on pictures that have names already is not asked.
    """
    named: dict[str | None, Mapping[str, Sequence[str]]] = {
        one.outcome.test_digest: one.files for one in subjects if one.files
    }
    for one, name in zip(subjects, names, strict=True):
        digest = one.outcome.test_digest
        if digest not in named and one.galleries:
            for commit in lineage.commits_named(root, name)[:1]:
                with tempfile.TemporaryDirectory() as folder:
                    target = Path(folder) / paths.PER_PICTURE.name
                    if lineage.fetch(root, commit, paths.PER_PICTURE, target):
                        named[digest] = _test_files(target.read_bytes())
    return [replace(one, files=named.get(one.outcome.test_digest, {})) for one in subjects]


def _test_files(table: bytes | None) -> dict[str, list[str]]:
    """Names of test pictures by direction, from per_picture.csv; empty where there is none."""
    found: dict[str, list[str]] = {}
    for row in csv.DictReader(io.StringIO((table or b"").decode("utf-8", "replace"))):
        found.setdefault(row.get("direction", ""), []).append(row.get("file", ""))
    return found


def subject(name: str, root: Path) -> Subject:
    """What a name stands for.

    Raises:
        UserError: nothing, several commits, or something without results.
    """
    if name == WORKSPACE:
        return _from_files(name, "", "the files as they are now", lambda path: _bytes(root / path))
    commits = lineage.commits_named(root, name)
    if len(commits) > 1:
        known = ", ".join(commit[:SHORT] for commit in commits)
        raise UserError(f"{name} is the name of several experiments; name one by its commit: {known}")
    if commits:
        (commit,) = commits
        about = lineage.subject_line(root, commit)
        return _from_files(name, commit[:SHORT], about, lambda path: lineage.file_at(root, commit, path))
    store = workspace_store(root)
    run = tracking.find_run(store, name, [f"{RUN_FOLDER}/{path.name}" for path in _files()])
    if run is None:
        raise UserError(
            f"there is no commit, branch, tag or experiment {name}, nor an MLflow run of this id in {store}; `git log`, "
            f"`dvc exp show` and `make ui` list what there is"
        )
    return _from_run(name, run)


def _files() -> list[Path]:
    return [paths.EVALUATE_METRICS, paths.SCORES, paths.PER_PICTURE, *paths.GALLERIES.values()]


def _from_files(name: str, short: str, about: str, read: Callable[[Path], bytes | None]) -> Subject:
    evaluate = read(paths.EVALUATE_METRICS)
    if evaluate is None:
        raise UserError(
            f"{name} has no results: no {paths.EVALUATE_METRICS}; name a commit that was made after `dvc repro`"
        )
    raw = configuration.read_bytes(read(PARAMS) or b"{}", f"{PARAMS} of {name}")
    params = _texts(tracking.flatten(raw)) if isinstance(raw, dict) else {}
    dataset = _json(read(paths.DATASET_METRICS) or b"{}", paths.DATASET_METRICS, name)
    digest = dataset.get("digest")
    result = _outcome(name, evaluate, read(paths.SCORES), digest if isinstance(digest, str) else None, params)
    trained_here = params.get("evaluate.model") == paths.TRAINED.as_posix()  # else train.json is of other networks
    health = _json(read(paths.TRAIN_METRICS) or b"{}", paths.TRAIN_METRICS, name).get("health") if trained_here else None
    return Subject(
        label=_label(name),
        name=short,
        about=about,
        outcome=result,
        params=params,
        whole=True,
        galleries=_galleries(read),
        files=_test_files(read(paths.PER_PICTURE)),
        health={f"{who}/{check}": value for who, own in health.items() for check, value in own.items()} if health else None,
    )


def _from_run(name: str, run: tracking.Run) -> Subject:
    def read(path: Path) -> bytes | None:
        return run.files.get(f"{RUN_FOLDER}/{path.name}")

    settings = {tag: value for tag, value in run.tags.items() if tag.startswith(("dataset.", "evaluate."))}
    params = _texts({**run.params, **settings})
    evaluate = read(paths.EVALUATE_METRICS)
    digest = run.tags.get("data_digest")
    if evaluate is not None:
        result = _outcome(name, evaluate, read(paths.SCORES), digest, params)
    else:
        everybodys = _logged_scores(name, run.metrics)
        result = Outcome(outcome.of_model(everybodys), _protocol(params), {}, None, digest, "", everybodys=everybodys)
    health = {
        key.removeprefix(RUN_HEALTH): value
        for key, value in run.metrics.items()
        if key.count("/") == 2 and key.startswith(RUN_HEALTH)
    }
    return Subject(
        label=_label(name),
        name=run.id[:SHORT],
        about=run.name,
        outcome=result,
        params=params,
        whole=False,
        galleries=_galleries(read),
        files=_test_files(read(paths.PER_PICTURE)),
        health=health or None,
    )


def _logged_scores(name: str, metrics: Mapping[str, float]) -> dict[str, dict[tuple[str, str], Score]]:
    """Everybody's scores of a run whose files are gone, or were never kept."""
    scores: dict[str, dict[tuple[str, str], Score]] = {direction: {} for direction in DIRECTIONS}
    for key, value in metrics.items():
        match = RUN_SCORE.fullmatch(key)
        if match and not (key.endswith(RUN_ERROR) and key.removesuffix(RUN_ERROR) in metrics):
            scores[match[1]][match[2], match[3]] = certainty.with_error(value, metrics.get(key + RUN_ERROR))
    if not any(subject == SUBJECT for own in scores.values() for subject, _ in own):
        raise UserError(f"the run {name} has no scores; it was not evaluated, or `cyclegan sync` has yet to send them")
    return scores


def _outcome(name: str, evaluate: bytes, table: bytes | None, digest: str | None, params: Mapping[str, str]) -> Outcome:
    values = _json(evaluate, paths.EVALUATE_METRICS, name)
    try:
        return outcome.read(values, table.decode() if table else None, digest, _protocol(params))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__} {error}"
        raise UserError(
            f"{paths.EVALUATE_METRICS} or {paths.SCORES} of {name} is not what the evaluate stage writes: {problem}"
        ) from None


def _protocol(params: Mapping[str, str]) -> dict[str, str]:
    return {key: params[key] for key in PROTOCOL if key in params}


def _label(name: str) -> str:
    return name[:SHORT] if HASH.fullmatch(name) else name


def _galleries(read: Callable[[Path], bytes | None]) -> dict[str, bytes]:
    found = {direction: read(path) for direction, path in paths.GALLERIES.items()}
    return {direction: content for direction, content in found.items() if content is not None}


def _json(data: bytes, path: Path, name: str) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} of {name} is damaged: {error}; name another commit") from None
    return values if isinstance(values, dict) else {}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """As MLflow keeps them, so that commits and runs can be compared, but spelled as in params.yaml."""
    return {name: SPELLED.get(str(value), str(value)) for name, value in values.items()}


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
