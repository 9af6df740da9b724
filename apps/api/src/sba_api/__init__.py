"""The HTTP API and the worker: wiring over the libraries."""

__all__: list[str] = []
