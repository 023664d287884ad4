"""The process that works: claims, runs, settles, and drains when told to stop."""

from .loop import Pace, Stuck, Worker, give_way, worker_name

__all__ = ["Pace", "Stuck", "Worker", "give_way", "worker_name"]
