"""Metrics for Prometheus (the extra `prometheus`): what a process does, and what the store says of all queues.

`MetricsObserver` counts what happens in one process. `exposition` reads the store; `kew metrics` serves it.
"""

from importlib import resources

try:
    from kew.metrics.exporting import CONTENT_TYPE, exposition
    from kew.metrics.observing import MetricsObserver
except ImportError as missing:
    raise ImportError(
        f"module {missing.name!r} is not installed; install it: pip install 'kew[prometheus]'",
        name=missing.name,
    ) from missing

__all__ = ["CONTENT_TYPE", "MetricsObserver", "alert_rules", "dashboard", "exposition"]


def dashboard() -> str:
    """A Grafana dashboard, as JSON to import."""
    return _file("grafana-dashboard.json")


def alert_rules() -> str:
    """Alert rules for Prometheus, as YAML."""
    return _file("alerts.yaml")


def _file(name: str) -> str:
    return (resources.files(__name__) / "files" / name).read_text(encoding="utf-8")
