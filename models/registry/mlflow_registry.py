"""Registry in MLflow, with a SQLite file or a server.

:mod:`models.registry.mlflow_model` defines the content of a registered version.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import FileLock

from errors import InputError, NotFound, Unavailable
from models.bundles.atomic_files import fetched, folder_digest
from models.registry.mlflow_model import log_model
from models.registry.mlflow_setup import first_sentence, set_up_mlflow, silent_mlflow, sqlite_file

set_up_mlflow()

import mlflow  # noqa: E402
from mlflow.entities.model_registry import ModelVersion  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.utils.credentials import get_default_host_creds  # noqa: E402
from mlflow.utils.rest_utils import http_request  # noqa: E402

log = logging.getLogger(__name__)

#: Tag of a version: the SHA-256 of the bundle's files.
DIGEST_TAG = "bundle_sha256"
P = ParamSpec("P")
T = TypeVar("T")


def translated(call: Callable[P, T]) -> Callable[P, T]:
    """Translate MLflow's errors: missing to NotFound, invalid to InputError, else Unavailable."""

    @wraps(call)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except MlflowException as error:
            text = first_sentence(error)
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise NotFound(f"MLflow: {text}") from error
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise InputError(f"MLflow: {text}") from error
            raise Unavailable(f"MLflow: {text}", code="registry_unavailable") from error
        except (OSError, ImportError) as error:  # an artifact store, or the package it needs
            raise Unavailable(
                f"MLflow: {first_sentence(error)}", code="registry_unavailable"
            ) from error

    return guarded


class MlflowRegistry:
    """Bundles as versions of one registered model, named like the experiment.

    Parameters
    ----------
    uri : str
        Tracking URI. A SQLite file that does not exist is an empty registry; only
        :meth:`prepare` and :meth:`register` create it.
    experiment : str
        Name of the experiment and of the registered model.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.name = experiment
        self._file = sqlite_file(uri)
        self._client: mlflow.MlflowClient | None = None

    @property
    def client(self) -> mlflow.MlflowClient:
        """The client of this registry alone; no global state of MLflow is touched."""
        if self._client is None:
            with self._alone():
                client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
                if self._file is not None:
                    with silent_mlflow():  # the first call creates tables and prints each step
                        client.get_experiment_by_name(self.name)
            self._client = client
        return self._client

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock other processes out: concurrent creation of a SQLite file's tables fails."""
        if self._file is None:
            yield
            return
        with FileLock(self._file.with_suffix(".lock")):
            yield

    @translated
    def prepare(self) -> str:
        """Create the SQLite file and the experiment if missing; return the experiment's id."""
        location = None
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # MLflow's default is ./mlruns in the process's working directory
            location = (self._file.parent / "artifacts").absolute().as_uri()
        self._check_server()
        self._make_model()
        found = self.client.get_experiment_by_name(self.name)
        if found is None:
            try:
                return str(self.client.create_experiment(self.name, artifact_location=location))
            except MlflowException:  # another process created it between the two calls
                found = self.client.get_experiment_by_name(self.name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise InputError(
                f"MLflow: the experiment {self.name!r} is deleted: bring it back with"
                f" `mlflow experiments restore --experiment-id {found.experiment_id}`, or name"
                " another in MLFLOW_EXPERIMENT_NAME",
                field="MLFLOW_EXPERIMENT_NAME",
            )
        return str(found.experiment_id)

    def _check_server(self) -> None:
        """Refuse servers of MLflow 2 and older, which lack logged models."""
        if not self.uri.startswith(("http://", "https://")):
            return
        answer = http_request(get_default_host_creds(self.uri), "/version", "GET")
        old = re.match(r"([012])\.", answer.text) if answer.status_code == 200 else None
        if old is not None:
            raise InputError(
                f"MLflow: the server is version {answer.text.strip()[:20]}, which cannot keep the"
                " models of this client: version 3 or newer is needed",
                field="MLFLOW_TRACKING_URI",
            )

    @translated
    def begin_run(self, name: str, documents: Mapping[str, Mapping[str, Any]]) -> str:
        """Begin a run, write ``documents`` (path: content) as artifacts, and return its id."""
        experiment_id = self.prepare()
        mlflow.set_tracking_uri(self.uri)
        with silent_mlflow(), mlflow.start_run(experiment_id=experiment_id, run_name=name) as run:
            for path, content in documents.items():
                mlflow.log_dict(dict(content), path)
        self.client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)

    def fail_run(self, run_id: str) -> None:
        """Mark a run as failed, if MLflow can be reached."""
        try:
            self.client.set_terminated(run_id, "FAILED")
        except (MlflowException, OSError) as error:
            log.warning("run %s: not marked as failed: %s", run_id, first_sentence(error))

    @translated
    def register(
        self,
        folder: Path,
        *,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        examples: tuple[Any, Any] | None = None,
    ) -> str:
        """Log the bundle as a pyfunc model of ``run_id`` (or a new run), and register the model.

        Parameters
        ----------
        folder, run_id, tags, examples
            Those of :meth:`models.registry.base.Registry.register`.
        """
        experiment_id = self.prepare()
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        with (
            silent_mlflow(),
            mlflow.start_run(run_id=run_id, experiment_id=None if run_id else experiment_id) as run,
            tempfile.TemporaryDirectory() as scratch,
        ):
            copy = Path(scratch) / "bundle"  # its name is the folder's name inside the model
            shutil.copytree(folder, copy)
            logged = log_model(copy, examples)
            about = {**(tags or {}), DIGEST_TAG: folder_digest(copy)}
            # not by the fluent API, which prints and adds the tags only afterwards
            made = self.client.create_model_version(
                self.name, logged.model_uri, run_id=run.info.run_id, tags=about,
                await_creation_for=0, model_id=logged.model_id,
            )  # fmt: skip
            return str(made.version)

    def _make_model(self) -> None:
        try:
            self.client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    @translated
    def alias(self, name: str) -> str | None:
        """Return the version of an alias, or None."""
        version = (self._aliases() or {}).get(name)
        return None if version is None else str(version)

    @translated
    def set_alias(self, name: str, version: str) -> None:
        """Point an alias at a version."""
        self._version(version)
        self.client.set_registered_model_alias(self.name, name, version)

    @translated
    def drop_alias(self, name: str) -> None:
        """Remove an alias."""
        if self.alias(name) is not None:
            self.client.delete_registered_model_alias(self.name, name)

    @translated
    def tag(self, version: str, key: str, value: str) -> None:
        """Store a tag of a version.

        Parameters
        ----------
        version, key, value
            Those of :meth:`models.registry.base.Registry.tag`.
        """
        self.client.set_model_version_tag(self.name, version, key, value)

    @translated
    def fetch(self, version: str, into: Path) -> Path:
        """Copy a version below ``into``; return its folder."""
        found = self._version(version)
        digest = found.tags.get(DIGEST_TAG)

        def download(draft: Path) -> Path:
            # not ``models:/name/version``: MLflow resolves that in the process-wide registry,
            # whatever URIs are passed with it
            uri = self.client.get_model_version_download_uri(self.name, version)
            copy = mlflow.artifacts.download_artifacts(
                f"{uri}/data/bundle", dst_path=str(draft), tracking_uri=self.uri
            )
            return Path(copy)

        final = into / f"{version}-{(digest or found.run_id or 'unknown')[:12]}"
        return fetched(final, digest, download, f"version {version} came damaged from MLflow")

    @translated
    def versions(self) -> list[dict[str, Any]]:
        """List the versions, newest first."""
        aliases = self._aliases()
        if aliases is None:
            return []
        found: list[ModelVersion] = []
        page: str | None = None
        while True:
            part = self.client.search_model_versions(f"name='{self.name}'", page_token=page)
            found += part
            page = part.token
            if not page:
                break
        found.sort(key=lambda version: int(version.version), reverse=True)
        return [_about(version, aliases) for version in found]

    def runs(
        self, limit: int = 20, page: str | None = None, model_name: str | None = None
    ) -> dict[str, Any]:
        """List training runs, newest first.

        Parameters
        ----------
        limit, page, model_name
            Those of :meth:`models.registry.base.Registry.runs`.
        """
        from models.registry.mlflow_runs import training_runs

        if self._absent():
            return {"enabled": True, "runs": [], "next_page": None}
        return translated(training_runs)(self.client, self.name, limit, page, model_name)

    def _aliases(self) -> dict[str, Any] | None:
        """Return the versions by alias; None if nothing was ever registered."""
        if self._absent():
            return None
        try:
            found: dict[str, Any] = self.client.get_registered_model(self.name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return found

    def _absent(self) -> bool:
        # opening a SQLite file would create it, and several processes its tables at once
        return self._client is None and self._file is not None and not self._file.exists()

    def _version(self, version: str) -> ModelVersion:
        if self._absent():
            raise NotFound(f"no version {version!r} of {self.name} in MLflow")
        return self.client.get_model_version(self.name, version)


def _about(version: ModelVersion, aliases: Mapping[str, Any]) -> dict[str, Any]:
    from datetime import UTC, datetime

    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return {
        "version": str(version.version),
        "created_at": created.isoformat(),
        "run_id": version.run_id,
        "digest": version.tags.get(DIGEST_TAG),
        "tags": dict(version.tags),
        "aliases": [a for a, v in aliases.items() if str(v) == str(version.version)],
    }
