"""The process that works: claims, runs, settles, and drains when told to stop."""

from .loop import Pace, Stuck, Worker, worker_name

__all__ = ["Pace", "Stuck", "Worker", "worker_name"]
