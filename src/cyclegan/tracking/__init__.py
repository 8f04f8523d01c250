"""The only door to MLflow: one run a training, to which evaluation and export add; what cannot be sent yet waits."""

from cyclegan.tracking.reach import trouble
from cyclegan.tracking.recorder import Recorder, TrainingRecorder, add_to, start_training
from cyclegan.tracking.registry import Present, Registered, Verdict, register
from cyclegan.tracking.runs import RUN_ID, AwayError, Run, find_run, reachable
from cyclegan.tracking.sender import sync
from cyclegan.tracking.store import KEY_TAG, Store, commit_of, open_store, run_tags, store_of
from cyclegan.tracking.values import TAG_LENGTH, flatten

__all__ = [
    "KEY_TAG",
    "RUN_ID",
    "TAG_LENGTH",
    "AwayError",
    "Present",
    "Recorder",
    "Registered",
    "Run",
    "Store",
    "TrainingRecorder",
    "Verdict",
    "add_to",
    "commit_of",
    "find_run",
    "flatten",
    "open_store",
    "reachable",
    "register",
    "run_tags",
    "start_training",
    "store_of",
    "sync",
    "trouble",
]
