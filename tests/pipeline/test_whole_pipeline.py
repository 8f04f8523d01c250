"""The main job as users run it: `dvc repro` in a git repository of its own, on tiny drawn pictures, as real processes."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from project import run, set_params
from repositories import copy_repository
from safetensors.torch import load_file

from cyclegan.pipeline import paths


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, finished: Path) -> Path:
    return copy_repository(finished, tmp_path_factory.mktemp("whole") / "project")


def stages_run(project: Path, *options: str) -> list[str]:
    lines = run(project, "dvc", "repro", *options).stdout.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage")]


def restore(project: Path) -> None:
    run(project, "git", "checkout", "-q", ".")
    run(project, "dvc", "checkout", "-q")


def runs(project: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(project / "mlflow.db") as database:
        return list(database.execute("select run_uuid, status from runs"))


def test_every_output_is_there_and_readable(project: Path) -> None:
    for path in (*paths.PREVIEWS.values(), *paths.SAMPLES.values(), *paths.GALLERIES.values()):
        with Image.open(project / path) as image:
            assert min(image.size) > 64
    for direction in ("G_AB", "G_BA"):
        names = {file.name for file in (project / paths.EXPORTED / direction).iterdir()}
        assert names == {"generator.json", "generator.safetensors", "generator.onnx", "generator.pt2"}
        assert (project / paths.TRAINED / f"{direction}_ema/generator.safetensors").is_file()
    assert list((project / paths.CHECKPOINTS).glob("*/*")) == []
    history = pd.read_csv(project / paths.HISTORY)
    assert history["step"].tolist() == [2, 4, 6, 8, 10, 12]
    assert history["lr"].iloc[-1] == pytest.approx(0.0002 / 3)
    assert history.notna().all().all()
    validation = pd.read_csv(project / paths.VALIDATION)
    assert validation["step"].drop_duplicates().tolist() == [3, 6, 9, 12]
    assert set(zip(validation["weights"], validation["direction"], validation["metric"], strict=True)) == {
        (weights, direction, "pair_l1") for weights in ("raw", "ema") for direction in ("A_to_B", "B_to_A")
    }
    best = json.loads((project / paths.TRAIN_METRICS).read_text())["best"]
    means = validation.groupby(["step", "weights"], sort=False)["value"].mean()
    assert (best["step"], best["weights"]) == means.idxmin()
    assert best["value"] == pytest.approx(means.min(), rel=1e-5)
    assert best["epoch"] == best["step"] // 3
    assert json.loads((project / paths.TRAINED / paths.TRAINING).read_text())["best"] == best
    scores = json.loads((project / paths.EVALUATE_METRICS).read_text())
    assert scores["weights"] == "best"
    assert scores["pictures"] == {"test_A": 4, "test_B": 4}
    for direction in ("A_to_B", "B_to_A"):
        assert set(scores[direction]) == {"model", "last_ema", "copy_input", "mean_colour", "real_train"}
        assert scores[direction]["copy_input"]["cycle_l1"] == 0
        assert scores[direction]["model"]["pair_l1"] > 0
        assert scores[direction]["model"]["fid_clean_test"] > 0
    assert scores["protocol"]["features"] == "inception_2015"
    assert (
        scores["attribution"] == json.loads((project / paths.TRAINED / paths.TRAINING).read_text())["source"]["attribution"]
    )
    assert len(pd.read_csv(project / paths.PER_PICTURE)) == 8
    table = pd.read_csv(project / paths.SCORES)
    model = table[table["subject"] == "model"].set_index(["direction", "metric"])
    assert model.loc[("A_to_B", "pair_l1"), "value"] == scores["A_to_B"]["model"]["pair_l1"]
    assert (model["low"] <= model["value"]).all()
    assert (model["value"] <= model["high"]).all()
    assert len(list((project / paths.FEATURES).iterdir())) == 4, "features of both test sets and of both floors are kept"
    report = (project / paths.REPORT).read_text()
    assert f"{scores['A_to_B']['model']['pair_l1']:.3f}" in report
    assert "Losses of the discriminators" in report
    card = (project / paths.EXPORTED / "README.md").read_text()
    assert f"{scores['A_to_B']['model']['pair_l1']:.4g}" in card
    assert f"best generators by validation: those after epoch {best['epoch']} " in card
    for direction in ("G_AB", "G_BA"):
        exported, chosen = (
            load_file(project / model / "generator.safetensors")
            for model in (paths.EXPORTED / direction, paths.generator(paths.TRAINED, direction, "best"))
        )
        assert all(torch.equal(tensor, chosen[name]) for name, tensor in exported.items())


def test_exported_programs_agree_with_the_network(project: Path) -> None:
    differences = json.loads((project / paths.EXPORT_METRICS).read_text())["largest_difference"]
    assert all(0 <= value <= 1e-4 for own in differences.values() for value in own.values())


def test_the_run_holds_curves_grids_data_models_and_origin(project: Path, tmp_path: Path) -> None:
    import mlflow
    from mlflow import MlflowClient

    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    client = MlflowClient()
    experiment = client.get_experiment_by_name("cyclegan")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"], max_results=1)
    training = json.loads((project / paths.TRAINED / paths.TRAINING).read_text())
    commit = run(project, "git", "rev-list", "--max-parents=0", "HEAD").stdout.strip()
    assert found.info.status == "FINISHED"
    assert found.data.tags["train_key"] == training["train_key"]
    assert found.data.tags["mlflow.source.git.commit"] == commit
    assert found.data.tags["git.dirty"] == "false"
    assert (found.data.tags["evaluation.commit"], found.data.tags["evaluation.dirty"]) == (commit, "false")
    assert found.data.params["loss.lambda_A"] == "10.0"
    curve = client.get_metric_history(found.info.run_id, "loss/cycle_A")
    history = pd.read_csv(project / paths.HISTORY)
    assert [point.step for point in curve] == history["step"].tolist()
    assert [point.value for point in curve] == pytest.approx(history["cycle_A"].tolist(), rel=1e-6)
    assert found.data.metrics["test/A_to_B/model/pair_l1"] > 0
    report = client.download_artifacts(found.info.run_id, f"evaluation/{paths.REPORT.name}", str(tmp_path))
    assert commit in Path(report).read_text()
    assert commit not in (project / paths.REPORT).read_text()  # which is committed after it is made
    health = json.loads((project / paths.TRAIN_METRICS).read_text())["health"]
    assert set(health) == {"A_to_B", "B_to_A", "D_A", "D_B"}
    for name in ("A_to_B/colour_agreement", "B_to_A/hidden_information", "D_A/judged_right"):
        curve = client.get_metric_history(found.info.run_id, f"health/{name}")
        assert [point.step for point in curve] == [6, 12]
        subject, check = name.split("/")
        assert curve[-1].value == pytest.approx(health[subject][check], rel=1e-5)
    assert found.data.metrics["health/failing"] >= 0
    validated = client.get_metric_history(found.info.run_id, "val/B_to_A/pair_l1/ema")
    table = pd.read_csv(project / paths.VALIDATION).query("direction == 'B_to_A' and weights == 'ema'")
    assert [(point.step, point.value) for point in validated] == [
        (step, pytest.approx(value, rel=1e-6)) for step, value in zip(table["step"], table["value"], strict=True)
    ]
    best = json.loads((project / paths.TRAIN_METRICS).read_text())["best"]
    assert found.data.tags["best.epoch"] == str(best["epoch"])
    assert found.data.tags["best.weights"] == best["weights"]
    names = [entry.path for entry in client.list_artifacts(found.info.run_id, "images")]
    for direction in ("A_to_B", "B_to_A"):
        for step in (0, 6, 12):
            assert sum(f"samples~{direction}+step+{step}+" in name for name in names) == 2  # the picture and its thumbnail
    (data,) = found.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("shapes", training["data"]["digest"][:36])
    models = client.search_logged_models([experiment.experiment_id])
    assert {model.name for model in models} == {"G_AB", "G_BA"}


def test_a_logged_model_translates_as_the_exported_one(project: Path) -> None:
    import mlflow
    import torch
    from mlflow import MlflowClient

    from cyclegan.models.weights import load_generator

    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    experiment = MlflowClient().get_experiment_by_name("cyclegan")
    assert experiment is not None
    (model,) = (m for m in MlflowClient().search_logged_models([experiment.experiment_id]) if m.name == "G_AB")
    network, _ = load_generator(project / paths.EXPORTED / "G_AB", torch.device("cpu"))
    pictures = torch.rand(3, 3, 40, 56) * 2 - 1
    with torch.no_grad():
        expected = network(pictures)
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, 3, -1, -1)
    actual = torch.as_tensor(loaded.predict(pictures.numpy()))
    assert float((actual - expected).abs().max()) < 1e-4


def test_a_second_run_does_nothing(project: Path) -> None:
    before = runs(project)
    assert "Running stage" not in run(project, "dvc", "repro").stdout
    assert runs(project) == before
    assert run(project, "git", "status", "--porcelain").stdout == ""


def test_a_clone_finds_the_commit_consistent(project: Path, tmp_path: Path) -> None:
    run(project, "git", "clone", "-q", str(project), str(tmp_path / "clone"))
    assert "Running stage" not in run(tmp_path / "clone", "dvc", "repro", "--dry", "--allow-missing").stdout


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"loss.lambda_identity": 0.0}, ["train"]),
        ({"evaluate.weights": "raw"}, ["evaluate"]),
        ({"evaluate.gallery_size": 2}, ["evaluate"]),
        ({"export.tolerance": 0.001}, ["export"]),
        ({"dataset.on_bad_image": "skip"}, ["preprocess"]),
        ({"preprocess.direction": "BtoA"}, ["preprocess"]),
        ({"runtime.workers": 1, "tracking.experiment": "another"}, []),
    ],
)
def test_a_dry_run_starts_at_the_first_stage_that_reads_what_changed(
    project: Path, change: dict[str, Any], first: list[str]
) -> None:
    set_params(project, change)
    assert stages_run(project, "--dry")[:1] == first
    restore(project)


def test_weights_of_one_training_are_scored_exported_and_trained_further(project: Path) -> None:
    shutil.copytree(project / paths.TRAINED, project / "weights/mine")
    set_params(project, {"evaluate.model": "weights/mine"})
    assert stages_run(project, "evaluate", "export") == ["evaluate", "export"]
    assert (
        run(project, "git", "status", "--porcelain", "--", "metrics", "reports").stdout == ""
    )  # they are the same weights
    set_params(project, {"loss.lambda_identity": 0.1})
    assert stages_run(project, "--dry", "evaluate") == []  # what is scored was trained elsewhere: nothing is trained first
    set_params(project, {"loss.lambda_identity": 0.5})
    set_params(project, {"evaluate.model": "models/trained", "evaluate.protocols": [], "train.init_from": "weights/mine"})
    before = pd.read_csv(project / paths.HISTORY)
    assert stages_run(project) == ["train", "evaluate", "export"]
    assert pd.read_csv(project / paths.HISTORY)["cycle_A"].iloc[0] != before["cycle_A"].iloc[0]
    run(project, "cyclegan", "export-weights", "models/trained", "weights/elsewhere", "--weights", "raw")
    run(project, "cyclegan", "import-weights", "weights/elsewhere", "weights/again")
    for name in ("G_AB/generator", "D_A/discriminator"):
        there, back = (load_file(project / model / f"{name}.safetensors") for model in (paths.TRAINED, "weights/again"))
        assert all(torch.equal(tensor, back[key]) for key, tensor in there.items())
    for name in ("mine", "elsewhere", "again"):
        shutil.rmtree(project / "weights" / name)
    restore(project)
    assert stages_run(project) == []


def test_touching_a_module_that_training_imports_reruns_training(project: Path) -> None:
    with (project / "src/cyclegan/training/ema.py").open("a") as file:
        file.write("# touched\n")
    assert stages_run(project, "--dry")[:1] == ["train"]
    restore(project)


def test_forced_again_it_makes_the_same_bytes_under_a_new_run(project: Path) -> None:
    before = runs(project)
    output = run(project, "dvc", "repro", "--force").stdout
    assert output.count("Running stage") == 5
    assert run(project, "git", "status", "--porcelain").stdout == ""
    assert [status for _, status in runs(project)] == ["FINISHED"] * (len(before) + 1)
