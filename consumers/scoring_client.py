"""Call ``POST /detect/streams`` over one connection, and translate failures.

Raises :class:`errors.Unavailable` if a retry can help (not reachable, 401/403/404, 429, 503, no
answer in time), or :class:`BatchRefusedError` if the service rejects this body (400, 413, 422 or
another 5xx), though it may accept a smaller one. A dropped connection is retried at once, because
scoring stores nothing in the service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import httpx
import msgspec
import orjson

from config import Settings
from db.encoding import JsonObject, JsonText
from errors import AnomalyError, Busy, NoModel, Unavailable
from runtime import tls_context
from schemas import API_PREFIX

RECONNECTS = 2  # after a connection that the service has closed meanwhile
MAX_RETRY_AFTER = 300.0  # seconds: a server may ask for any wait


class BatchRefusedError(AnomalyError):
    """The service (or the database) rejects this batch; ``code`` is the reason."""

    code = "batch_refused"


class _StreamAnswer(msgspec.Struct):
    results: list[dict[str, msgspec.Raw]] | None = None
    state: dict[str, Any] | None = None
    window_length: int | None = None


class _Answer(msgspec.Struct):
    streams: list[_StreamAnswer]


_ANSWER = msgspec.json.Decoder(_Answer)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder()


def decode_answer(content: bytes) -> dict[str, Any]:
    """Decode the service's answer, but keep long parts as text.

    An anomaly's explanation has a hundred values or more, which the bridge stores and publishes
    unchanged. All other parts of a result are decoded, including keys unknown to this release.

    Raises
    ------
    msgspec.DecodeError
        The content does not have the form of an answer.
    """
    return {
        "streams": [
            {
                "results": [_result(parts) for parts in stream.results or ()],
                "state": stream.state,
                "window_length": stream.window_length,
            }
            for stream in _ANSWER.decode(content).streams
        ]
    }


def _result(parts: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, text in parts.items():
        if name == "metadata":
            result[name] = {
                key: JsonObject(bytes(one)) if key == "explanation" else _VALUE.decode(one)
                for key, one in _PARTS.decode(text).items()
            }
        elif name == "scores":
            result[name] = JsonText(bytes(text))
        else:
            result[name] = _VALUE.decode(text)
    return result


class Scorer(Protocol):
    """An object that scores bodies of ``/detect/streams``."""

    def score(self, body: bytes) -> dict[str, Any]:
        """Score one body."""

    def bundle_version(self) -> str:
        """Return a value that changes when another bundle is loaded."""


class HttpScorer:
    """Score over HTTP with a persistent connection; not thread-safe.

    Parameters
    ----------
    settings : Settings
        Address, key, time-out and certificates of the service.
    transport : httpx.BaseTransport, optional
        Replaces the network in tests.
    """

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"content-type": "application/json"}
        if settings.service_api_key:
            key = settings.service_api_key.get_secret_value()
            headers |= {"authorization": f"Bearer {key}", "x-api-key": key}
        self._url = settings.service_url
        self._client = httpx.Client(
            base_url=self._url,
            headers=headers,
            timeout=httpx.Timeout(settings.bridge_score_timeout_s, connect=5.0),
            transport=transport,
            verify=tls_context(settings.service_cafile, "SERVICE_CAFILE"),
            trust_env=False,  # a proxy for the internet must not be used for an internal service
        )

    def score(self, body: bytes) -> dict[str, Any]:
        """Score one body.

        Raises
        ------
        Unavailable, BatchRefusedError
        """
        answer: dict[str, Any] = self._call(
            "POST", f"{API_PREFIX}/detect/streams", body, decode=decode_answer
        )
        return answer

    def bundle_version(self) -> str:
        """Return a value that changes when the service loads another bundle."""
        status = self._call("GET", f"{API_PREFIX}/status")
        versions = {
            name: model.get("version")
            for group in (status.get("groups") or {"": status.get("models") or {}}).values()
            for name, model in group.items()
            if isinstance(model, dict)
        }
        return str(status.get("bundle_version") or orjson.dumps(versions).decode())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        decode: Callable[[bytes], Any] = orjson.loads,
    ) -> Any:
        for attempt in range(RECONNECTS + 1):
            try:
                response = self._client.request(method, path, content=body)
                break
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                # the service closed a kept connection: reconnect without back-off
                if attempt == RECONNECTS:
                    raise self._unreachable(error) from None
            except httpx.HTTPError as error:
                raise self._unreachable(error) from None
        if response.status_code != 200:
            raise self._error(response)
        try:
            return decode(response.content)
        except (orjson.JSONDecodeError, msgspec.DecodeError) as error:
            # the answer comes from a proxy, or from another program on that port
            raise Unavailable(
                f"{self._url}: the answer is not from the anomaly service ({error})",
                code="bad_answer",
                retry_after=1,
            ) from None

    def _unreachable(self, error: Exception) -> Unavailable:
        what = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in what:
            what += " (SERVICE_CAFILE)"
        return Unavailable(
            f"service at {self._url} (SERVICE_URL): {what}",
            code="service_unreachable",
            retry_after=0,
        )

    def _error(self, response: httpx.Response) -> AnomalyError:
        status = response.status_code
        code, message, field = _code_message_field(response)
        text = f"service at {self._url} answered {status}: {message}"
        after = _retry_after(response)
        if status in (401, 403):
            return Unavailable(f"{text} (SERVICE_API_KEY)", code="access_denied", retry_after=30)
        if status in (404, 405):
            return Unavailable(f"{text} (SERVICE_URL)", code="wrong_service", retry_after=30)
        if status == 429:
            return Busy(text, retry_after=after)
        if status == 503:
            kind = NoModel if code == "no_model" else Unavailable
            return kind(text, retry_after=after)
        return BatchRefusedError(text, code=code, field=field)


def _code_message_field(response: httpx.Response) -> tuple[str, str, str | None]:
    """Read the error of the service, or what is readable of another server's error."""
    try:
        error = orjson.loads(response.content)["error"]
        return str(error["code"]), str(error["message"])[:300], error.get("field")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"http_{response.status_code}", response.text[:200], None


def _retry_after(response: httpx.Response) -> float:
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return 1.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
