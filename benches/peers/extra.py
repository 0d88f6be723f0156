"""The parts that are no plain comparison: sessions by store, the WAF, load profiles, growth, overload, workers, memory."""

from crs import waf
from growth import growth
from limits import memory, overload, profiles, workers
from sessions import sessions

__all__ = ["growth", "memory", "overload", "profiles", "sessions", "waf", "workers"]
