"""Pairs of generators in MLflow's model registry: each once, with aliases that go together, whatever is cut short."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from tracking.logs import Requests, root, start, store_in, through

from cyclegan import tracking
from cyclegan.config import Config
from cyclegan.models import specs
from cyclegan.models.networks import build_generator
from cyclegan.models.weights import load_generator, save
from cyclegan.tracking import registry
from cyclegan.tracking.generators import digest_of

__all__ = ["root"]  # a fixture

NAMES = ("test_A_to_B", "test_B_to_A")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., Config]) -> dict[str, Path]:
    """Two generators of random weights, of one and of three channels."""
    model = make_config(**{"model.input_nc": 1, "loss.lambda_identity": 0.0}).model
    folder = tmp_path_factory.mktemp("pair")
    for name in ("G_AB", "G_BA"):
        save(folder / name, build_generator(model, name).state_dict(), specs.generator_spec(model, name, 32, "k1", "raw"))
    return {name: folder / name for name in ("G_AB", "G_BA")}


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged models without files: what the registry does with them is the same."""

    def log(to: Any, folder: Path, record: str, example_side: int) -> Any:
        model = to.client.create_logged_model(to.experiment_id, folder.name, to.run_id, {"sha256": digest_of(folder)})
        return to.client.finalize_logged_model(model.model_id, "READY")

    monkeypatch.setattr(registry, "log_generator", log)


def decide_as(alias: str) -> Callable[[tracking.Present | None], tracking.Verdict]:
    def decide(present: tracking.Present | None) -> tracking.Verdict:
        if present is not None and present.is_this:
            return tracking.Verdict("champion", "it is already", {})
        version = present.version if present else "none"
        return tracking.Verdict(alias, f"beside {version}", {"beside": version})

    return decide


def register(
    root: Path, pair: Mapping[str, Path], which: str, alias: str = "champion", key: str = "k1", **tags: str
) -> tracking.Registered:
    all_tags = {"pair": which, "commit": "unknown", "dirty": "unknown", "test/A_to_B/kid": "1.5", **tags}
    return tracking.register(store_in(root), root, key, "test", pair, 32, all_tags, decide_as(alias))


def state(root: Path) -> dict[str, Any]:
    """All that the registry holds but times and ids of models."""
    client = MlflowClient(store_in(root).uri)
    models = {model.name: model for model in client.search_registered_models()}
    versions = {
        f"{version.name} {version.version}": (version.status, version.description, version.tags)
        for version in client.search_model_versions()
    }
    return {"aliases": {name: model.aliases for name, model in models.items()}, "versions": versions}


def aliases(root: Path) -> dict[str, str]:
    """Of both models, which must agree."""
    first, second = (state(root)["aliases"][name] for name in NAMES)
    assert first == second
    return {alias: str(version) for alias, version in first.items()}


def test_the_champion_loads_as_the_generator_it_is(root: Path, pair: dict[str, Path]) -> None:
    """With MLflow's own functions alone, as a network and as a python_function."""
    import mlflow

    start(root, "t1").finish("FINISHED")
    done = register(root, pair, "p1")
    assert (done.versions, done.new, done.alias) == (dict.fromkeys(NAMES, "1"), True, "champion")
    mlflow.set_tracking_uri(store_in(root).uri)
    rng = np.random.default_rng(0)
    for name, generator in zip(NAMES, ("G_AB", "G_BA"), strict=True):
        network, spec = load_generator(pair[generator], torch.device("cpu"))
        pictures = rng.uniform(-1, 1, (3, spec.channels_in, 40, 36)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(pictures)).numpy()
            loaded = mlflow.pytorch.load_model(f"models:/{name}@champion")(torch.from_numpy(pictures)).numpy()
        np.testing.assert_allclose(loaded, expected, atol=1e-6)
        function = mlflow.pyfunc.load_model(f"models:/{name}@champion")
        np.testing.assert_allclose(function.predict(pictures), expected, atol=1e-6)
        assert function.metadata.signature is not None


def test_both_versions_have_the_same_tags_and_say_which_commit_trained_them(
    root: Path, pair: dict[str, Path], cheap: None
) -> None:
    start(root, "t1").finish("FINISHED")
    register(root, pair, "p1", weights="ema")
    found = state(root)["versions"]
    assert set(found) == {f"{name} 1" for name in NAMES}
    for status, description, tags in found.values():
        assert status == "READY"
        assert description == "champion: beside none"
        assert tags["commit"] == "c" * 40  # the training's run knows better than the caller
        assert tags["dirty"] == "unknown"  # but not all
        assert (tags["pair"], tags["weights"], tags["test/A_to_B/kid"]) == ("p1", "ema", "1.5")
        assert (tags["decision"], tags["decision_reason"]) == ("champion", "beside none")
    client = MlflowClient(store_in(root).uri)
    version = client.get_model_version(NAMES[0], "1")
    (model,) = [m for m in client.search_logged_models(["1"]) if m.name == "G_AB"]
    assert version.source == model.artifact_location
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": NAMES[0], "version": 1}]
    run = client.get_run(version.run_id)
    assert run.data.tags["train_key"] == "k1"
    local = client.download_artifacts(version.run_id, "registry/test.json")
    assert json.loads(Path(local).read_text()) == {
        "versions": dict.fromkeys(NAMES, "1"),
        "alias": "champion",
        "reason": "beside none",
        "beside": "none",
    }


def test_aliases_go_to_pairs_and_the_newest_that_lost_is_the_challenger(
    root: Path, pair: dict[str, Path], cheap: None
) -> None:
    register(root, pair, "p1", "champion")
    assert aliases(root) == {"champion": "1"}
    assert register(root, pair, "p2", "challenger").verdict.reason == "beside 1"  # type: ignore[union-attr]
    register(root, pair, "p3", "challenger")
    assert aliases(root) == {"champion": "1", "challenger": "3"}
    register(root, pair, "p4", "champion")
    assert aliases(root) == {"champion": "4", "challenger": "3"}


def test_a_pair_is_registered_once_and_decided_on_again_only_with_other_scores(
    root: Path, pair: dict[str, Path], cheap: None
) -> None:
    register(root, pair, "p1")
    register(root, pair, "p2", "challenger", **{"test/A_to_B/odd": "1"})
    before = state(root)
    again = register(root, pair, "p2", "champion", **{"test/A_to_B/odd": "1"})
    assert (again.versions, again.new, again.verdict, again.alias) == (
        dict.fromkeys(NAMES, "2"),
        False,
        None,
        "challenger",
    )
    assert state(root) == before
    better = register(root, pair, "p2", "champion", **{"test/A_to_B/kid": "0.5"})
    assert not better.new
    assert aliases(root) == {"champion": "2"}  # and no challenger to itself
    for name in NAMES:
        tags = state(root)["versions"][f"{name} 2"][2]
        assert tags["test/A_to_B/kid"] == "0.5"
        assert "test/A_to_B/odd" not in tags  # of the evaluation before
    champion = register(root, pair, "p2", "challenger", **{"test/A_to_B/kid": "9"})
    assert champion.verdict is not None
    assert champion.verdict.reason == "it is already"
    assert aliases(root) == {"champion": "2"}


def test_an_alias_that_was_moved_by_hand_is_what_counts(root: Path, pair: dict[str, Path], cheap: None) -> None:
    register(root, pair, "p1")
    register(root, pair, "p2", "challenger")
    client = MlflowClient(store_in(root).uri)
    client.set_registered_model_alias(NAMES[0], "champion", "2")  # and not of the other one
    assert register(root, pair, "p3", "challenger").verdict.reason == "beside 2"  # type: ignore[union-attr]
    assert aliases(root) == {"champion": "2", "challenger": "3"}


def test_whichever_request_is_cut_the_next_call_brings_it_to_its_end(
    root: Path, pair: dict[str, Path], cheap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(root, "t1").finish("FINISHED")
    register(root, pair, "p0")
    counted = Requests()
    through(counted, monkeypatch)
    register(root, pair, "undisturbed", "challenger")
    expected = {name: state(root)["versions"][f"{name} 2"] for name in NAMES}
    total = len(counted.names)
    assert total > 20
    for number in range(0, total, 5):
        moment = "before" if number % 2 == 0 else "after"
        case = f"{number}{moment}"
        through(Requests((number, moment)), monkeypatch)
        with pytest.raises(tracking.AwayError, match="cut"):
            register(root, pair, case, "challenger")
        through(Requests(), monkeypatch)
        done = register(root, pair, case, "challenger")
        assert done.alias == "challenger"
        everything = state(root)
        for name, version in done.versions.items():
            found = everything["versions"][f"{name} {version}"]
            assert found[2] == expected[name][2] | {"pair": case}
            assert found[:2] == expected[name][:2]
        assert aliases(root) == {"champion": "1", "challenger": done.versions[NAMES[0]]}
        assert [tags["pair"] for *_, tags in everything["versions"].values()].count(case) == 2


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/x"])
def test_a_store_that_is_away_is_one_clear_error(root: Path, pair: dict[str, Path], uri: str) -> None:
    with pytest.raises(tracking.AwayError) as error:
        tracking.register(store_in(root, uri=uri), root, "k1", "test", pair, 32, {"pair": "p"}, decide_as("champion"))
    assert str(error.value).startswith("MLflow at ")
    assert "cannot be used: " in str(error.value)
    assert "\n" not in str(error.value)
