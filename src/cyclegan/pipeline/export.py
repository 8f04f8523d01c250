"""Stage export: the generators that were scored, in three formats that agree, with a model card."""

from pathlib import Path

import torch

from cyclegan import lineage, randomness, tracking
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.evaluation import catalogue
from cyclegan.export import parity
from cyclegan.export.card import model_card
from cyclegan.export.formats import ONNX_FILE, PROGRAM_FILE, export_onnx, export_program, shape_of
from cyclegan.models.specs import GeneratorSpec
from cyclegan.models.weights import load_generator, save
from cyclegan.pipeline import paths, registration
from cyclegan.pipeline.files import fresh_folder, put_in_place, read_json, write_json
from cyclegan.pipeline.guard import Unchanged
from cyclegan.pipeline.trained import read_training

CARD = "README.md"


def export(config: Config, unchanged: Unchanged) -> None:
    """Write models/exported, log the generators to the MLflow run as models, and register them if `export.register`.

    Raises:
        UserError: an exported program differs from the network by more than `export.tolerance`; `export.champion_metric`
            cannot decide; or params, the model or code changed meanwhile.
    """
    log_store, root = tracking.store_of(config.tracking, lineage.project_root()), lineage.project_root()
    model = Path(config.evaluate.model)
    scores, training = read_json(paths.EVALUATE_METRICS), read_training(model)
    if config.export.register:
        registration.check_metric(registration.read_outcome(config, scores), config.export.champion_metric)
    cpu = torch.device("cpu")
    folder = fresh_folder(paths.EXPORTED)
    differences: dict[str, dict[str, float]] = {}
    specs: dict[str, GeneratorSpec] = {}
    for name in ("G_AB", "G_BA"):
        network, spec = load_generator(paths.generator(model, name, scores["weights"]), cpu)
        network.to(memory_format=torch.contiguous_format)  # as the files store them
        specs[name] = spec
        save(folder / name, network.state_dict(), spec)
        shape = shape_of(spec)
        export_onnx(network, shape, config.export.opset, folder / name / ONNX_FILE)
        export_program(network, shape, folder / name / PROGRAM_FILE)
        pictures = [_pictures(spec, size) for size in parity.sizes(spec.size, spec.stride, spec.smallest)]
        programs = {file: load(folder / name / file) for file, load in parity.LOADERS.items()}
        differences[name] = {
            file: max(parity.largest_difference(network, program, each) for each in pictures)
            for file, program in programs.items()
        }
        for file, difference in differences[name].items():
            print(f"{name}/{file} differs from the network by at most {difference:.1e}")
            if not difference <= config.export.tolerance:
                raise UserError(
                    f"{name}/{file} differs from the network by {difference:.1e}, more than export.tolerance of "
                    f"{config.export.tolerance:.1e} in params.yaml; nothing was exported: try another export.opset"
                )
    meanings = {name: catalogue.explained(name) for name in scores["A_to_B"]["model"] | scores["B_to_A"]["model"]}
    card = model_card(specs, training, scores, meanings, differences, config.export.opset)
    (folder / CARD).write_text(card, encoding="utf-8")
    unchanged()
    put_in_place(folder, paths.EXPORTED)
    rounded = {name: {file: float(f"{value:.3g}") for file, value in own.items()} for name, own in differences.items()}
    write_json(paths.EXPORT_METRICS, {"opset": config.export.opset, "largest_difference": rounded})

    train_key, dataset = training["train_key"], training["source"]["name"]
    commit = tracking.commit_of(log_store, train_key)
    with tracking.add_to(log_store, root, train_key, f"{dataset} {train_key[:8]}") as log:
        for name, spec in specs.items():
            log.generator(paths.EXPORTED / name, shape_of(spec).example_side)
        log.text(model_card(specs, training, scores, meanings, differences, config.export.opset, commit), CARD, "export")
        log.artifact(paths.EXPORT_METRICS, "export")
    if config.export.register:
        _register(config)


def _register(config: Config) -> None:
    try:
        print(*registration.register(config), sep="\n")
    except tracking.AwayError as error:  # all that the stage makes is there, and none of it depends on the registry
        print(f"warning: {error}; the generators are not registered: `cyclegan register` does it later")


def _pictures(spec: GeneratorSpec, size: tuple[int, int, int]) -> torch.Tensor:
    """Noise in [-1, 1] of a batch, height and width: float32 [N, C, H, W], the same each time."""
    batch, height, width = size
    noise = randomness.generator(0, "parity").random((batch, spec.channels_in, height, width), dtype="float32")
    return torch.from_numpy(2 * noise - 1)
