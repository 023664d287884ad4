"""The one HTTP client: times and sizes capped, addresses judged, redirects followed by hand, errors in one table."""

from .client import HttpClient

__all__ = ["HttpClient"]
