"""`cyclegan register` and `export.register`: what is exported goes to the registry with what it scored, and no further."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from project import set_params
from typer.testing import CliRunner

from cyclegan import config
from cyclegan.cli import app
from cyclegan.models.specs import GeneratorSpec
from cyclegan.models.weights import save
from cyclegan.pipeline import export, paths
from cyclegan.tracking import registry
from cyclegan.tracking.generators import digest_of

KEY = "0123456789abcdef" * 4
KID = "kid_x1000_test"
TRAINING = {
    "train_key": KEY,
    "data": {"digest": "d" * 64, "trainA": 6, "trainB": 6},
    "source": {"name": "shapes", "domain_A": "a", "domain_B": "b", "attribution": "x", "licence": "CC0"},
    "params": {},
}


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged models without files."""

    def log(to: Any, folder: Path, record: str, example_side: int) -> Any:
        model = to.client.create_logged_model(to.experiment_id, folder.name, to.run_id, {"sha256": digest_of(folder)})
        return to.client.finalize_logged_model(model.model_id, "READY")

    monkeypatch.setattr(registry, "log_generator", log)


def make_model(seed: int) -> None:
    """Trained and exported generators, which are the same ones."""
    torch.manual_seed(seed)
    for name in ("G_AB", "G_BA"):
        spec = GeneratorSpec(name, "resnet_6blocks", 4, "instance", False, 3, 3, 32, KEY, "ema")
        save(paths.generator(paths.TRAINED, name, "ema"), spec.build().state_dict(), spec)
        shutil.copytree(paths.generator(paths.TRAINED, name, "ema"), paths.EXPORTED / name, dirs_exist_ok=True)
    (paths.TRAINED / paths.TRAINING).write_text(json.dumps(TRAINING))


def make_scores(kid: float, se: float | None = 2.0, test_digest: str = "t" * 64, **settings: Any) -> None:
    """An evaluation: the score is `kid` in both directions."""
    own = {"model": {KID: kid, "copy_l1": 0.5, "cycle_psnr": None}}
    protocol = {"kid_subsets": 50, "test_digest": test_digest, **settings}
    counts = {"test_A": 4, "test_B": 4}
    values = {"weights": "ema", "pictures": counts, "protocol": protocol, "A_to_B": own, "B_to_A": own}
    for path, content in {
        paths.EVALUATE_METRICS: json.dumps(values),
        paths.DATASET_METRICS: json.dumps({"digest": "d" * 64}),
        Path("reports/scores.csv"): "direction,subject,metric,value,se,low,high,pictures\n"
        + "".join(f"{way},model,{KID},{kid},{'' if se is None else se},,,4\n" for way in ("A_to_B", "B_to_A")),
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


def cyclegan(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, " ".join(result.output.split())


def client() -> MlflowClient:
    return MlflowClient(f"sqlite:///{Path('mlflow.db').absolute()}")


def aliases(name: str = "shapes") -> dict[str, str]:
    both = [client().get_registered_model(f"{name}_{way}").aliases for way in ("A_to_B", "B_to_A")]
    assert both[0] == both[1]
    return {alias: str(version) for alias, version in both[0].items()}


def test_the_champion_moves_only_to_what_is_shown_to_be_better(workspace: Path, cheap: None) -> None:
    make_model(0)
    make_scores(50.0)
    status, output = cyclegan("register")
    assert status == 0
    assert output == (
        "registered shapes_A_to_B version 1 and shapes_B_to_A version 1 champion: kid_x1000_test is 50 with a standard "
        "error of 1.41 (mean of both directions); there was no champion to beat"
    )
    before = client().get_model_version("shapes_A_to_B", "1").tags
    assert before["test/A_to_B/kid_x1000_test"] == "50.0"
    assert before["test/B_to_A/kid_x1000_test_se"] == "2.0"
    assert before["sha256.G_BA"] == digest_of(paths.EXPORTED / "G_BA")
    assert json.loads(before["protocol"]) == {"kid_subsets": "50"}
    assert json.loads(before["pictures"]) == {"test_A": 4, "test_B": 4}
    expected = {"train_key": KEY, "test_digest": "t" * 64, "data_digest": "d" * 64, "weights": "ema", "commit": "unknown"}
    assert {name: before[name] for name in expected} == expected

    make_model(1)
    make_scores(47.0)  # better by 3, while the error of the difference is 3.9
    status, output = cyclegan("register")
    assert status == 0
    assert "shapes_A_to_B version 2 and shapes_B_to_A version 2 challenger: kid_x1000_test is 47" in output
    assert "3 better than the champion's (version 1) 50" in output
    assert "no difference that the test set can show" in output
    assert aliases() == {"champion": "1", "challenger": "2"}
    status, output = cyclegan("register")
    assert (status, "as shapes_A_to_B version 2 and shapes_B_to_A version 2 (challenger); nothing" in output) == (0, True)
    assert len(client().search_model_versions()) == 4

    make_model(2)
    make_scores(1.0, test_digest="u" * 64)
    assert "cannot be compared with the champion, version 1: the test pictures are others" in cyclegan("register")[1]
    assert aliases() == {"champion": "1", "challenger": "3"}
    make_model(3)
    make_scores(1.0, None)
    assert "has no standard error, so that no difference can be shown" in cyclegan("register")[1]
    make_model(4)
    make_scores(46.0)
    assert "champion: kid_x1000_test is 46" in cyclegan("register")[1]
    assert aliases() == {"champion": "5", "challenger": "4"}
    description = client().get_model_version("shapes_B_to_A", "5").description
    assert description is not None
    assert description.startswith("champion: kid_x1000_test is 46 with a standard error of 1.41")


def test_a_champion_can_be_scored_anew_so_that_others_can_be_compared_with_it(workspace: Path, cheap: None) -> None:
    make_model(0)
    make_scores(50.0)
    cyclegan("register")
    make_scores(30.0, kid_subsets=10)
    status, output = cyclegan("register")
    assert status == 0
    assert "registered before; its scores are now those of this evaluation: shapes_A_to_B version 1" in output
    assert "champion: it is the champion already; kid_x1000_test is 30" in output
    make_model(1)
    make_scores(40.0, kid_subsets=10)
    assert "10 worse than the champion's (version 1) 30" in cyclegan("register")[1]


def test_name_and_score_can_be_chosen(workspace: Path, cheap: None) -> None:
    make_model(0)
    make_scores(50.0)
    set_params(workspace, {"export.registered_model": "mine"})
    assert "registered mine_A_to_B version 1" in cyclegan("register")[1]
    assert "registered yours_A_to_B version 1" in cyclegan("register", "--name", "yours")[1]
    assert aliases("mine") == aliases("yours") == {"champion": "1"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "copy_l1"], "copy_l1 is no score of this evaluation, in both directions, of which one way is better"),
        (["--metric", "pair_l1"], "pair_l1 is no score of this evaluation"),
        (["--metric", "cycle_psnr"], "cycle_psnr is no score of this evaluation"),
        (["--model", "models/trained"], "metrics/evaluate.json holds the scores of other generators than models/trained"),
        (["--model", "nothing"], "nothing/G_AB"),
    ],
)
def test_mistakes_are_one_line(workspace: Path, cheap: None, arguments: list[str], words: str) -> None:
    make_model(0)
    for name in ("G_AB", "G_BA"):
        shutil.copytree(paths.EXPORTED / name, paths.TRAINED / name)
        (paths.TRAINED / name / "generator.safetensors").write_bytes(b"others")
    make_scores(50.0)
    status, output = cyclegan("register", *arguments)
    assert status == 1
    assert output.startswith("error: ")
    assert words in output
    assert client().search_registered_models() == []


def test_a_server_that_is_away_fails_the_command_and_only_warns_the_stage(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(0)
    make_scores(50.0)
    set_params(workspace, {"tracking.uri": "http://me:secret@127.0.0.1:1"})
    status, output = cyclegan("register")
    assert status == 1
    assert output.startswith("error: MLflow at http://127.0.0.1:1 cannot be used: it does not answer")
    export._register(config.load(Path("params.yaml")))
    said = capsys.readouterr().out
    assert said.startswith("warning: MLflow at http://127.0.0.1:1 cannot be used")
    assert said.endswith("the generators are not registered: `cyclegan register` does it later\n")
    assert "secret" not in output + said


def test_a_score_that_cannot_decide_stops_the_export_before_anything_is_written(workspace: Path) -> None:
    make_model(0)
    make_scores(50.0)
    shutil.rmtree(paths.EXPORTED)
    set_params(workspace, {"export.register": True, "export.champion_metric": "copy_l1"})
    with pytest.raises(Exception, match=r"copy_l1 is no score of this evaluation.*set export.champion_metric"):
        export.export(config.load(Path("params.yaml")), lambda: None)
    assert not paths.EXPORTED.exists()
