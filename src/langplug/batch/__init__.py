"""A dataset through a model: resumable, at the pace that the model takes, in constant memory."""

from langplug.batch.files import Out, read_rows
from langplug.batch.job import TooManyErrors
from langplug.batch.journal import Journal, JournalError
from langplug.batch.provider import ProviderError
from langplug.batch.ray import Ray, WorkerError
from langplug.batch.running import Count, acancel, arun, cancel, count, run
from langplug.batch.summary import Summary

__all__ = [
    "Count",
    "Journal",
    "JournalError",
    "Out",
    "ProviderError",
    "Ray",
    "Summary",
    "TooManyErrors",
    "WorkerError",
    "acancel",
    "arun",
    "cancel",
    "count",
    "read_rows",
    "run",
]
