"""Store the parts of a model set as JSON, and read them back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

import numpy as np


class Stored:
    """Base of a dataclass that is stored as a JSON object.

    Attributes
    ----------
    KEYS : names of the stored fields. Bundles of every release must stay readable: an absent key
        has the field's default, an unknown key is ignored.
    STORED_AS : stored names of fields that were renamed since.
    """

    __slots__ = ()
    KEYS: ClassVar[tuple[str, ...]]
    STORED_AS: ClassVar[Mapping[str, str]] = {}

    def to_dict(self) -> dict[str, Any]:
        """Return the stored fields ready for JSON."""
        return {stored: _plain(getattr(self, key)) for key, stored in self._stored_keys()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` returned.

        Raises
        ------
        TypeError, ValueError
            A key without default is absent, or a value has the wrong type.
        """
        kinds = _kinds(cls)  # type: ignore[arg-type]
        return cls(
            **{
                key: _read(data[stored], kinds[key])
                for key, stored in cls._stored_keys()
                if stored in data
            }
        )

    @classmethod
    def _stored_keys(cls) -> list[tuple[str, str]]:
        return [(key, cls.STORED_AS.get(key, key)) for key in cls.KEYS]


@lru_cache(maxsize=64)
def _kinds(of: type) -> dict[str, Any]:
    return get_type_hints(of)


def _plain(value: Any) -> Any:
    if isinstance(value, Stored):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _read(value: Any, kind: Any) -> Any:
    if isinstance(kind, UnionType):
        kind = next(one for one in get_args(kind) if one is not NoneType)
        if value is None:
            return None
    if isinstance(kind, type) and issubclass(kind, Stored):
        return kind.from_dict(value)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is np.ndarray:
        return np.array(value, np.float64)
    if origin is tuple:
        return tuple(_read(one, inner[0]) for one in value)
    if origin is Mapping:
        return {key: _read(one, inner[1]) for key, one in value.items()}
    return int(value) if kind is int else value
