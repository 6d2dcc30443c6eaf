"""Loader module named by versions that release 0.1 registered: :mod:`models.registry.pyfunc`."""

from models.registry.pyfunc import _load_pyfunc

__all__ = ["_load_pyfunc"]
