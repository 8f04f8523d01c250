"""Stage train: the networks are trained from data/prepared, resumably, under one MLflow run."""

import json
from pathlib import Path
from uuid import uuid4

import torch

from cyclegan import lineage, presets, tracking
from cyclegan.config import Config
from cyclegan.data.store import Store
from cyclegan.device import Precision, choose_precision, make_deterministic, out_of_memory_explained
from cyclegan.errors import Abandoned, Interrupted, UserError
from cyclegan.pipeline import paths
from cyclegan.pipeline.continuation import continue_finished
from cyclegan.pipeline.guard import Unchanged, sole_holder
from cyclegan.pipeline.health import Examiner, make_probe
from cyclegan.pipeline.observers import Silent, Teller
from cyclegan.pipeline.origins import note_origin, run_names
from cyclegan.pipeline.pictures import Pictures
from cyclegan.pipeline.results import params_of, tags_of, write_outputs
from cyclegan.pipeline.signals import StopRequest, graceful_stop
from cyclegan.pipeline.validating import HOLD_OUT, with_judge
from cyclegan.training import schedule
from cyclegan.training.checkpoint import restore_checkpoint, save_checkpoint, share_state
from cyclegan.training.execution import Execution, can_compile, choose_execution
from cyclegan.training.loop import UNREAD_STEPS, Observer, fit
from cyclegan.training.parallel import Group, check_divisible, joined
from cyclegan.training.program import Program
from cyclegan.training.progress import ProgressPrinter
from cyclegan.training.selection import Selection
from cyclegan.training.state import TrainState, initial
from cyclegan.training.validation import Validation

LESS_MEMORY = "raise train.accumulate or set train.checkpoint_activations to true, which leave the training as it is"


def train(config: Config, unchanged: Unchanged) -> None:
    """Train, or continue the training of the same params, data and code; writes models/trained, the history and samples.

    The last checkpoint stays until the evaluate stage begins: only then has DVC recorded the result. Of several processes
    this is what the first one does.

    Raises:
        Interrupted: a signal stopped it, after a checkpoint.
        UserError: no such device, no data, a loss that is not finite, another process at the same training, too little
            memory, or params, data or code that changed meanwhile.
    """
    root = lineage.project_root()
    log_store = tracking.store_of(config.tracking, root)
    store = Store(paths.PREPARED)
    key = lineage.train_key(Path(), config, store.digest)
    checkpoints = root / paths.CHECKPOINTS / key
    make_deterministic(config.train.deterministic)

    alone = sole_holder(checkpoints.with_suffix(".lock"), "the training of the same params, data and code", "elsewhere")
    with (
        alone,
        joined() as group,
        graceful_stop(launched=group.size > 1) as stop,
        out_of_memory_explained(_sizes(config), LESS_MEMORY),
    ):
        check_divisible(config, group.size)
        group.share(json.dumps({"config": config.model_dump(mode="json"), "key": key}).encode())

        def begin() -> tuple[torch.device, Pictures, TrainState, Validation | None]:
            device, pictures, state = _begin(store, config, group)
            return device, pictures, state, with_judge(pictures.validation, store, config, device)

        device, pictures, state, validation = group.agreed(begin)
        plan = pictures.plan
        total = plan.steps_per_epoch * schedule.total_epochs(config.schedule)
        restored = restore_checkpoint(state, checkpoints)
        execution = _choose_execution(config, state, pictures, device, group)
        _note_computer(config, state, device, execution, group)
        where = device if group.size == 1 else f"{group.size} processes ({device.type})"
        precision = state.computed_by["precision"]
        print(f"training {key[:12]} on {where} in {precision}: {total} steps, {plan.steps_per_epoch} an epoch")
        if device.type == "cuda":
            print(f"on the GPU: {execution}")
        if restored is not None:
            print(f"continuing after step {state.step} ({restored.name})")
        else:
            state.training_id = uuid4().hex
            if config.train.continue_from is not None:
                print(continue_finished(state, config, root, plan.steps_per_epoch, total))
            elif state.given:
                print(f"first weights of {', '.join(state.given)} from {config.train.init_from}")
            _begin_selection(state, config, validation)
        revision = lineage.revision(Path())
        if note_origin(state, revision):
            save_checkpoint(state, checkpoints)  # killed at any time from here on, it continues under the same run
        share_state(state, group)
        preset = presets.matching(tracking.flatten(config.model_dump(mode="json")))
        *former_names, name = run_names(store.summary["source"]["name"], preset, key, state)
        log = tracking.start_training(
            log_store,
            root,
            state.training_id,
            key,
            name=name,
            former_names=former_names,
            params=params_of(config),
            tags=tags_of(config, store, state, preset),
            data={"source": store.summary["source"]["name"], "digest": store.digest[:36], "commit": revision.commit},
            system_metrics=config.tracking.system_metrics,
        )
        progress = ProgressPrinter(state.step, total, 2 * config.train.batch_size)
        status = "FAILED"
        try:
            if revision.dirty:
                log.text(revision.diff, revision.diff_file, lineage.UNCOMMITTED)
            examiner = Examiner(make_probe(pictures.loader, config, device), config, total, log)
            observer = Teller(log, progress, examiner)
            with _program(config, state, pictures, device, execution, group) as program:
                _fit(state, program, pictures, validation, config, observer, checkpoints, stop)
            unchanged()
            health = examiner.examine(state.step, state.networks, program.mode.precision)
            grids = pictures.samples.draw(state, program.mode.precision)
            write_outputs(state, grids, health, plan, store, config, key)
            for path in (paths.HISTORY, paths.VALIDATION, *paths.SAMPLES.values()):
                log.artifact(path)
            _conclude(state, config, log)
            status = "FINISHED"
        except (Interrupted, KeyboardInterrupt):
            status = "KILLED"
            raise
        finally:
            progress.close()
            log.finish(status)


def follow() -> None:
    """What a process of a training does that is not the first: its share of every step, and nothing else.

    It is given the parameters by the first one, and its state, so that it needs no checkpoint.

    Raises:
        Abandoned: the first process ended early.
        UserError: something that only this process suffers, while it trains.
    """
    with joined() as group, graceful_stop(launched=True) as stop:
        told = json.loads(group.share(b""))
        config, key = Config.model_validate_json(json.dumps(told["config"])), told["key"]
        make_deterministic(config.train.deterministic)
        with out_of_memory_explained(_sizes(config), LESS_MEMORY):

            def begin() -> tuple[torch.device, Pictures, TrainState]:
                store = Store(paths.PREPARED, verify=False)  # the first process has read every byte
                if lineage.train_key(Path(), config, store.digest) != key:
                    raise UserError(
                        f"code, first weights or prepared data are not those of the first process; give every machine the "
                        f"same commit, {paths.PREPARED} and {config.train.init_from}"
                    )
                return _begin(store, config, group)

            device, pictures, state = group.agreed(begin)
            share_state(state, group)
            execution = _choose_execution(config, state, pictures, device, group)
            try:
                with _program(config, state, pictures, device, execution, group) as program:
                    _fit(state, program, pictures, pictures.validation, config, Silent(), Path(), stop)
            except Interrupted:
                group.wait_for_first()  # which still writes its checkpoint
                raise Abandoned from None


def _sizes(config: Config) -> dict[str, int]:
    """What takes the most memory."""
    return {"train.batch_size": config.train.batch_size, "preprocess.crop_size": config.preprocess.crop_size}


def _begin(store: Store, config: Config, group: Group) -> tuple[torch.device, Pictures, TrainState]:
    device = group.device(config.runtime.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    pictures = Pictures.of(store, config, device)
    return device, pictures, initial(config, *pictures.canvases, device)


def _fit(
    state: TrainState,
    program: Program,
    pictures: Pictures,
    validation: Validation | None,
    config: Config,
    observer: Observer,
    checkpoints: Path,
    stop: StopRequest,
) -> None:
    every = 1 if program.device.type == "cpu" else UNREAD_STEPS
    asked = program.mode.group.asking(stop, every)
    fit(state, program, pictures.samples, validation, config, observer, checkpoints, asked)


def _begin_selection(state: TrainState, config: Config, validation: Validation | None) -> None:
    """Of a training that was finished, the best stays where the same metric on the same pictures chooses from now on."""
    judged_by = validation.judge.about if validation and validation.judge else ""
    before = state.selection
    if before.best is not None and before.judged_by != judged_by:
        print(f"its best was chosen by {before.judged_by}, so it is chosen anew")
    if before.judged_by != judged_by:
        state.selection = Selection(judged_by)
    if validation is None and config.train.validate_every_epochs > 0:
        print(f"no validation pictures, so that none of the generators is chosen as the best; {HOLD_OUT}")


def _conclude(state: TrainState, config: Config, log: tracking.TrainingRecorder) -> None:
    """Say which generators are the best, and whether training stopped for want of better ones."""
    selection = state.selection
    if selection.best is not None:
        best = selection.best.reported()
        log.tags({f"best.{name}": str(value) for name, value in best.items()})
        print(f"best of validation: epoch {best['epoch']}, {best['weights']}, {best['metric']} {best['value']:.4g}")
    if selection.stopped:
        vain = config.train.stop_after_validations
        print(f"stopped early after epoch {selection.stopped}: the last {vain} validations found nothing better")


def _choose_execution(
    config: Config, state: TrainState, pictures: Pictures, device: torch.device, group: Group
) -> Execution:
    """How the steps run here; compiled or not as at the training's first step."""
    cuda = device.type == "cuda"
    return choose_execution(
        config,
        cuda=cuda,
        free_bytes=torch.cuda.mem_get_info(device)[0] if cuda else 0,
        pixel_bytes=pictures.loader.train_A.pixels.nbytes + pictures.loader.train_B.pixels.nbytes,
        one_shape=not any(canvas.varied for canvas in pictures.canvases),
        steps=pictures.plan.steps_per_epoch * schedule.total_epochs(config.schedule),
        compiler=cuda and can_compile(),
        processes=group.size,
        compiled_before=state.computed_by["compiled"] == "true" if state.computed_by else None,
    )


def _program(
    config: Config, state: TrainState, pictures: Pictures, device: torch.device, execution: Execution, group: Group
) -> Program:
    precision: Precision = "bf16" if state.computed_by["precision"] == "bf16" else "float32"
    loader = pictures.loader_on(device, resident=execution.resident)
    return Program(state, pictures.plan, loader, config, precision, execution, group)


def _note_computer(config: Config, state: TrainState, device: torch.device, execution: Execution, group: Group) -> None:
    """Keep by what the training's first step was computed; say so where it is continued by something else."""
    here = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": choose_precision(config.train.precision, device),
        "torch": torch.__version__,
        "processes": str(group.size),
        "compiled": str(execution.compiled).lower(),
    }
    began = state.computed_by = state.computed_by or here
    changed = [
        f"{name} {began[name]} then, {here[name]} now"
        for name in ("device", "torch", "processes")
        if began[name] != here[name]
    ]
    if changed:
        print(
            f"warning: this training began elsewhere ({'; '.join(changed)}): it continues, but its last digits will not be "
            f"those of an undisturbed one"
        )
