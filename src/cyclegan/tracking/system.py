"""Load and memory of processor and GPU, recorded like everything else."""

import contextlib
import threading

from cyclegan.tracking import imports
from cyclegan.tracking.outbox import Outbox

SECONDS = 10.0  # between two measurements


class SystemMonitor:
    """MLflow's own measurements, in a thread of ours: MLflow's gives up for good when the store is away once."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True, name="system metrics")
        self.thread.start()

    def stop(self) -> None:
        """Measure no more."""
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        imports.load()
        from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        monitors: list[BaseMetricsMonitor] = []
        for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
            with contextlib.suppress(Exception):  # no GPU, or none that tells
                monitors.append(kind())
        while not self.ended.wait(SECONDS):
            values: dict[str, float] = {}
            for monitor in monitors:
                with contextlib.suppress(Exception):  # a GPU that fell off the bus
                    monitor.collect_metrics()
                    values |= {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
                    monitor.clear_metrics()
            self.outbox.add("system", values=values)
