"""The only door to MLflow: one run a training, to which evaluation and export add; what cannot be sent yet waits."""

from cyclegan.tracking.reach import trouble
from cyclegan.tracking.recorder import Recorder, TrainingRecorder, add_to, start_training
from cyclegan.tracking.registry import Present, Registered, Verdict, register
from cyclegan.tracking.runs import AwayError, Run, find_run
from cyclegan.tracking.sender import sync
from cyclegan.tracking.store import KEY_TAG, Store, at_home, commit_of, run_tags, store_of
from cyclegan.tracking.values import flatten

__all__ = [
    "KEY_TAG",
    "AwayError",
    "Present",
    "Recorder",
    "Registered",
    "Run",
    "Store",
    "TrainingRecorder",
    "Verdict",
    "add_to",
    "at_home",
    "commit_of",
    "find_run",
    "flatten",
    "register",
    "run_tags",
    "start_training",
    "store_of",
    "sync",
    "trouble",
]
