"""MLflow's model registry: a pair of generators as a version each of two registered models, and their aliases.

Two models, NAME_A_to_B and NAME_B_to_A, rather than one that holds both: each then is what MLflow's other tools take for
a model, with a signature of its own, loads through `models:/NAME_A_to_B@champion` as the network itself, and holds no
code. What is a pair says the tag `pair`, which both versions have; the aliases of A_to_B decide where the two disagree.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from cyclegan.tracking.generators import digest_of, log_generator, logged_generator
from cyclegan.tracking.runs import reachable
from cyclegan.tracking.sender import connect_to_finished
from cyclegan.tracking.store import LOCK_SECONDS, Connection, Store
from cyclegan.tracking.values import TAG_LENGTH, shorten

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
PAIR_TAG, DECISION_TAG, REASON_TAG = "pair", "decision", "decision_reason"
SCORES = "test/"  # tags that begin so are scores of the last evaluation
LINKS_TAG = "mlflow.modelVersions"  # of a logged model: which versions are made of it; the UI shows them
DESCRIPTION = (
    "One of a pair of generators: the versions of both models that have the same tag `pair` belong together. The alias "
    "champion moves only to a pair whose score is better by more than its error; the newest that was not is the challenger."
)
DIRECTIONS = {"A_to_B": "G_AB", "B_to_A": "G_BA"}
ORIGIN = {"commit": "mlflow.source.git.commit", "dirty": "git.dirty"}  # tags of a training's run


@dataclass(frozen=True)
class Present:
    """The pair that is the champion now: its version of A_to_B, whether it is the very pair at hand, and its tags."""

    version: str
    is_this: bool
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """What is decided: the alias, a reason for people, and all about it as JSON takes it."""

    alias: str
    reason: str
    report: Mapping[str, Any]


@dataclass(frozen=True)
class Registered:
    """What was done.

    Attributes:
        versions: the number of the version by the name of its registered model.
        new: whether these versions were made now.
        verdict: None where the same pair with the same scores had been registered before: nothing changed.
        alias: what was decided, then or now.
    """

    versions: dict[str, str]
    new: bool
    verdict: Verdict | None
    alias: str


@dataclass(frozen=True)
class _Source:
    """The logged model that a version is made of, and its address as the registry takes it."""

    model_id: str
    place: str


def register(
    store: Store,
    root: Path,
    train_key: str,
    name: str,
    generators: Mapping[str, Path],
    example_side: int,
    tags: Mapping[str, str],
    decide: Callable[[Present | None], Verdict],
) -> Registered:
    """Register a pair of generators of a training that is over, and give it its alias.

    Args:
        root: the project's folder; what waits there for the store is sent first.
        name: of the pair; the registered models are called NAME_A_to_B and NAME_B_to_A.
        generators: folders by name, "G_AB" and "G_BA".
        example_side: as for `Recorder.generator`.
        tags: of both versions; `pair` names the pair; `commit` and `dirty` give way to what the training's run says.
        decide: which alias the pair gets, given the present champion.

    Raises:
        AwayError: the store cannot be reached or used. What was done until then is gone on with by the next call.
    """
    with reachable(store):
        to = connect_to_finished(store, root, train_key, f"{name} {train_key[:8]}")
        names = {direction: f"{name}_{direction}" for direction in DIRECTIONS}
        run_tags = to.client.get_run(to.run_id).data.tags
        tags = {**tags, **{tag: run_tags[other] for tag, other in ORIGIN.items() if other in run_tags}}
        tags = {key: shorten(value, TAG_LENGTH) for key, value in tags.items()}
        made_of = {}
        for direction, full in names.items():
            if _version(to, full, tags[PAIR_TAG]) is None:
                folder = generators[DIRECTIONS[direction]]
                made_of[full] = _source(to, folder, example_side, server=store.uri.startswith("http"))
        with FileLock(store.lock, timeout=LOCK_SECONDS):  # of two that decide at once, the second sees the first's champion
            return _settle(to, list(names.values()), made_of, tags, decide)


def _settle(
    to: Connection,
    names: list[str],
    made_of: Mapping[str, _Source],
    tags: Mapping[str, str],
    decide: Callable[[Present | None], Verdict],
) -> Registered:
    pair = tags[PAIR_TAG]
    versions = [_version(to, full, pair) or _create(to, full, made_of[full], tags) for full in names]
    numbers = {version.name: str(version.version) for version in versions}
    champion = _champion(to, names[0], pair)  # after a version is made: before there may be no registered model
    if all(_decided_on(version, tags) for version in versions):
        return Registered(
            numbers, False, None, CHAMPION if champion and champion.is_this else versions[0].tags[DECISION_TAG]
        )
    verdict = decide(champion)
    written = {**tags, REASON_TAG: shorten(verdict.reason, TAG_LENGTH), DECISION_TAG: verdict.alias}
    run_file = f"registry/{names[0].removesuffix('_A_to_B')}.json"
    about = {"versions": numbers, "alias": verdict.alias, "reason": verdict.reason, **verdict.report}
    to.client.log_text(to.run_id, json.dumps(about, indent=2, ensure_ascii=False) + "\n", run_file)
    _set_aliases(to, names, verdict.alias, pair)
    if verdict.alias == CHALLENGER and champion is not None:
        _set_aliases(to, names, CHAMPION, champion.tags.get(PAIR_TAG, ""))
    for version in versions:  # the tag of the decision last: a version that has it needs nothing more
        to.client.update_model_version(version.name, version.version, f"{verdict.alias}: {verdict.reason}")
        for tag in [tag for tag in version.tags if tag.startswith(SCORES) and tag not in tags]:
            to.client.delete_model_version_tag(version.name, version.version, tag)
        for tag, value in written.items():
            if version.tags.get(tag) != value:
                to.client.set_model_version_tag(version.name, version.version, tag, value)
    return Registered(numbers, bool(made_of), verdict, verdict.alias)


def _set_aliases(to: Connection, names: list[str], alias: str, pair: str) -> None:
    """Point the alias of each model at its version of the pair; a champion is nobody's challenger."""
    for full in names:
        version = _version(to, full, pair)
        aliases = to.client.get_registered_model(full).aliases
        if version is None:  # a version that was not registered here
            continue
        if alias == CHAMPION and aliases.get(CHALLENGER) == version.version:
            to.client.delete_registered_model_alias(full, CHALLENGER)
        if aliases.get(alias) != version.version:
            to.client.set_registered_model_alias(full, alias, version.version)


def _champion(to: Connection, full: str, pair: str) -> Present | None:
    number = to.client.get_registered_model(full).aliases.get(CHAMPION)
    if number is None:
        return None
    tags = to.client.get_model_version(full, number).tags
    return Present(str(number), tags.get(PAIR_TAG) == pair, tags)


def _version(to: Connection, full: str, pair: str) -> "ModelVersion | None":
    found = to.client.search_model_versions(f"name = '{full}' and tags.{PAIR_TAG} = '{pair}'")
    return next(iter(found), None)


def _create(to: Connection, full: str, made_of: _Source, tags: Mapping[str, str]) -> "ModelVersion":
    if not to.client.search_registered_models(f"name = '{full}'"):
        to.client.create_registered_model(full, description=DESCRIPTION)
    version = to.client.create_model_version(full, made_of.place, to.run_id, dict(tags), model_id=made_of.model_id)
    links = json.loads(to.client.get_logged_model(made_of.model_id).tags.get(LINKS_TAG, "[]"))
    links.append({"name": full, "version": version.version})
    to.client.set_logged_model_tags(made_of.model_id, {LINKS_TAG: json.dumps(links)})
    return version


def _source(to: Connection, folder: Path, example_side: int, *, server: bool) -> _Source:
    digest = digest_of(folder)
    model = logged_generator(to, digest) or log_generator(to, folder, f"registered {to.run_id} {digest}", example_side)
    # A client of a database looks models:/ up in the store that is this process's default, which may be another.
    return _Source(model.model_id, f"models:/{model.model_id}" if server else model.artifact_location)


def _decided_on(version: "ModelVersion", tags: Mapping[str, str]) -> bool:
    """Whether the decision on a version was made on these tags, and no others, and was carried out."""
    scores = {tag for tag in version.tags if tag.startswith(SCORES)}
    return DECISION_TAG in version.tags and scores <= tags.keys() and tags.items() <= version.tags.items()
