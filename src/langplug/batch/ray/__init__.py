"""The rows of a job, asked by actors on a Ray cluster; who reads and who keeps is the job, as everywhere."""

from langplug.batch.ray.engine import Ray, WorkerError

__all__ = ["Ray", "WorkerError"]
