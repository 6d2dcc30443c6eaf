"""The loader that registered versions of release 0.1 name: see :mod:`models.registry.pyfunc`."""

from models.registry.pyfunc import _load_pyfunc

__all__ = ["_load_pyfunc"]
