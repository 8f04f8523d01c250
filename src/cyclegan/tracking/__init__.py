"""The only door to MLflow: one run a training, to which evaluation and export add; what cannot be sent yet waits."""

from cyclegan.tracking.reach import trouble
from cyclegan.tracking.recorder import Recorder, TrainingRecorder, add_to, start_training
from cyclegan.tracking.registry import Present, Registered, Verdict, register
from cyclegan.tracking.runs import RUN_ID, AwayError, Entry, Run, find_run, list_files, list_runs, reachable, read_entry
from cyclegan.tracking.sender import sync
from cyclegan.tracking.store import ID_TAG, KEY_TAG, Store, at_home, commit_of, open_store, store_of
from cyclegan.tracking.values import TAG_LENGTH, flatten

__all__ = [
    "ID_TAG",
    "KEY_TAG",
    "RUN_ID",
    "TAG_LENGTH",
    "AwayError",
    "Entry",
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
    "list_files",
    "list_runs",
    "open_store",
    "reachable",
    "read_entry",
    "register",
    "start_training",
    "store_of",
    "sync",
    "trouble",
]
