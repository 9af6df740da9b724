"""The queue: its schema, how a run gets into it, and the worker that takes runs out."""

from sba_agents.jobs.schema import install
from sba_agents.jobs.worker import WorkerSettings, run_worker
from sba_agents.submission import enqueue

__all__ = ["WorkerSettings", "enqueue", "install", "run_worker"]
