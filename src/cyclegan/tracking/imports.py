"""MLflow's modules, brought in by one thread at a time."""

import importlib
import threading
from collections.abc import Iterable

MODULES = (  # all that threads of ours use
    "mlflow",
    "mlflow.data.code_dataset_source",
    "mlflow.data.meta_dataset",
    "mlflow.entities",
    "mlflow.store.db.utils",
    "mlflow.system_metrics.metrics.base_metrics_monitor",
    "mlflow.system_metrics.metrics.cpu_monitor",
    "mlflow.system_metrics.metrics.disk_monitor",
    "mlflow.system_metrics.metrics.gpu_monitor",
    "mlflow.system_metrics.metrics.network_monitor",
    "mlflow.tracking.multimedia",
)
_LOCK = threading.Lock()


def load(modules: Iterable[str] = MODULES) -> None:
    """Import modules, to be called by a thread before its own imports of them.

    MLflow's import one another in circles: of two threads that do so at once, one may be given a module that is not
    complete yet, or an error that both wait for each other.
    """
    with _LOCK:
        for name in modules:
            importlib.import_module(name)
