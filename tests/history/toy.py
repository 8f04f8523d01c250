"""A project of DVC whose pipeline takes a moment, for tests of what is done with pipelines and not in them."""

import shutil
from importlib import metadata
from pathlib import Path

from project import ROOT, TINY, git_commit, run, set_params

PIPELINE = """\
stages:
  download:
    cmd: python stages/download.py
    deps: [stages/download.py]
    outs: [data/raw]
  train:
    cmd: python stages/train.py
    deps: [stages/train.py, data/raw, weights/first]
    params: [optimizer]
    outs: [models/trained]
    metrics:
      - metrics/train.json: {cache: false}
  evaluate:
    cmd: python stages/evaluate.py
    deps: [stages/evaluate.py, models/trained]
    metrics:
      - metrics/evaluate.json: {cache: false}
"""
STAGES = {
    "download": """\
import pathlib
raw = pathlib.Path("data/raw")
raw.mkdir(parents=True, exist_ok=True)
for name in "ab":
    (raw / name).write_text(name)
""",
    "train": """\
import json, os, pathlib, time, yaml
sleep = os.environ.get("TOY_SLEEP")  # a file to write and a long training
if sleep:
    pathlib.Path(sleep).write_text(os.getcwd())
    time.sleep(60)
rate = yaml.safe_load(open("params.yaml"))["optimizer"]["lr"]
loss = round(rate + len(os.listdir("data/raw")) + float(os.environ.get("TOY_ROUNDING", 0)), 6)
model = pathlib.Path("models/trained")
model.mkdir(parents=True, exist_ok=True)
(model / "weights").write_text(f"{loss} {os.environ.get('TOY_BYTES', '')}")
(model / "name").write_text("toy")
pathlib.Path("metrics").mkdir(exist_ok=True)
json.dump({"train_key": "0" * 64, "steps": 3, "loss": loss}, open("metrics/train.json", "w"))
""",
    "evaluate": """\
import json
loss = float(open("models/trained/weights").read().split()[0])
json.dump({"score": loss / 2}, open("metrics/evaluate.json", "w"))
""",
}
IGNORED = "/data/\n/models/\n/mlflow.db\n/.mlflow.lock\n/mlartifacts/\n/.checkpoints/\n/weights/\n"


def make(project: Path, database: Path) -> str:
    """Make the project, run its pipeline and commit its result; returns the hash."""
    for folder in (".dvc", "stages", "weights"):
        (project / folder).mkdir(parents=True)
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, project / ".dvc" / name)
    shutil.copy(ROOT / "params.yaml", project)
    shutil.copy(database, project / "mlflow.db")
    set_params(project, TINY)
    (project / "requirements.lock").write_text(f"pyyaml=={metadata.version('pyyaml')}\n")
    (project / ".gitignore").write_text(IGNORED)
    (project / "dvc.yaml").write_text(PIPELINE)
    (project / "weights/first").write_text("brought by hand")  # which git does not keep
    for name, code in STAGES.items():
        (project / f"stages/{name}.py").write_text(code)
    run(project, "git", "init", "-q", "-b", "main")
    git_commit(project, "code")
    run(project, "dvc", "repro")
    return git_commit(project, "result")
