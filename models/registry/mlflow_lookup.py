"""The two facts a service keeps asking MLflow for, had without importing MLflow.

That import takes seconds and some 200 MB. Which version an alias points at, and what a version's
digest is, stand in two tables of a SQLite file, or come from a server by MLflow's REST API.
Whatever is not as expected (another schema, a login, a lock) raises :class:`LookupUnsupported`;
then
MLflow itself must be asked.
"""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from errors import NotFound

#: Tag of a version: the SHA-256 of the bundle's files.
DIGEST_TAG = "bundle_sha256"
TIMEOUT_S = 5.0


class LookupUnsupported(Exception):
    """Only MLflow can answer this."""


class AliasLookup(Protocol):
    """The registered model, looked at from outside."""

    def alias(self, name: str) -> str | None:
        """Return the version an alias points at; None when it points at nothing."""

    def digest(self, version: str) -> str:
        """Return the digest of a version's files."""


def alias_lookup(uri: str, name: str) -> AliasLookup:
    """Open a look-up of the registered model ``name``; raises LookupUnsupported."""
    if uri.startswith("sqlite:///"):
        return FileAliasLookup(Path(uri.removeprefix("sqlite:///")), name)
    if uri.startswith(("http://", "https://")):
        return ServerAliasLookup(uri.rstrip("/"), name)
    raise LookupUnsupported(uri)


class FileAliasLookup:
    """By reading MLflow's SQLite file, which is never written to and never made."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def alias(self, name: str) -> str | None:
        """Return the version of an alias, or None."""
        if not self._path.exists():
            return None
        return self._value(
            "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?",
            self._name, name,
        )  # fmt: skip

    def digest(self, version: str) -> str:
        """Return the digest of a version's content."""
        found = self._value(
            "SELECT value FROM model_version_tags WHERE name = ? AND version = ? AND key = ?",
            self._name, version, DIGEST_TAG,
        )  # fmt: skip
        if found is None:
            raise LookupUnsupported(f"version {version} has no digest")
        return found

    def _value(self, query: str, *values: str) -> str | None:
        try:
            address = f"file:{quote(str(self._path))}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=1.0)) as connection:
                rows = connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise LookupUnsupported(str(error)) from error
        if len(rows) > 1:  # of several workspaces
            raise LookupUnsupported("the name is not unique")
        return str(rows[0][0]) if rows else None


class ServerAliasLookup:
    """By MLflow's REST API."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name

    def alias(self, name: str) -> str | None:
        """Return the version of an alias, or None."""
        try:
            model = self._get("registered-models/get", name=self._name)["registered_model"]
            aliases = {entry["alias"]: str(entry["version"]) for entry in model.get("aliases", [])}
        except NotFound:
            return None
        except (KeyError, TypeError) as error:
            raise LookupUnsupported(repr(error)) from error
        return aliases.get(name)

    def digest(self, version: str) -> str:
        """Return the digest of a version's content."""
        try:
            found = self._get("model-versions/get", name=self._name, version=version)
            tags = {tag["key"]: tag["value"] for tag in found["model_version"]["tags"]}
            return str(tags[DIGEST_TAG])
        except (NotFound, KeyError, TypeError) as error:
            raise LookupUnsupported(repr(error)) from error

    def _get(self, path: str, **query: str) -> Mapping[str, Any]:
        url = f"{self._url}/api/2.0/mlflow/{path}?{urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310
                found: Mapping[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404 and b"RESOURCE_DOES_NOT_EXIST" in error.read():
                    raise NotFound(f"MLflow: no {self._name}") from error
            raise LookupUnsupported(str(error)) from error
        except (OSError, ValueError) as error:
            raise LookupUnsupported(str(error)) from error
