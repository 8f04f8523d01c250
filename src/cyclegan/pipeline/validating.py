"""How the train stage chooses the best generators: its validation pictures, and who judges translations of them."""

from dataclasses import replace

import torch

from cyclegan.config import Config
from cyclegan.data.layout import DOMAINS
from cyclegan.data.store import Store
from cyclegan.errors import UserError
from cyclegan.evaluation.validation import Judge
from cyclegan.training.validation import Validation

HOLD_OUT = "set dataset.val_fraction to 0.1, say, or put pictures into valA and valB"


def with_judge(validation: Validation | None, store: Store, config: Config, device: torch.device) -> Validation | None:
    """The validation pictures with what `train` asks to be done with them.

    Raises:
        UserError: there are none where something depends on them, or the metric cannot be taken of them.
    """
    if validation is None:
        refuse_to_do_without(config)
        return None
    settings = config.train
    every, patience = settings.validate_every_epochs, settings.stop_after_validations
    if every == 0:
        return validation
    digest = " and ".join(store.summary["files"][f"val{domain}.u8"][:16] for domain in DOMAINS)
    real_A, real_B = validation.real_A, validation.real_B
    judge = Judge(settings.validate_metric, real_A, real_B, digest, paired=store.paired_val, device=device)
    return replace(validation, judge=judge, every=every, patience=patience)


def refuse_to_do_without(config: Config) -> None:
    """See whether a training can do without validation pictures.

    Raises:
        UserError: something depends on them.
    """
    if config.schedule.lr_policy == "plateau":
        raise UserError(
            f"schedule.lr_policy is plateau in params.yaml, but there are no validation pictures to watch; {HOLD_OUT}, or "
            f"set schedule.lr_policy to another"
        )
    if config.train.stop_after_validations > 0:
        raise UserError(
            f"train.stop_after_validations is {config.train.stop_after_validations} in params.yaml, but there are no "
            f"validation pictures; {HOLD_OUT}, or set train.stop_after_validations to 0"
        )
