"""Generate HTTP load at low cost: persistent connections, no parsing of JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Load:
    """The results of one period of load."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Return the answered requests per second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu(self) -> float:
        """The server's CPU seconds per request, which hardly depend on the machine's load."""
        return self.cpu_seconds / len(self.latencies)

    def percentile(self, share: float) -> float:
        """Return a percentile of the latency in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request(port: int, path: str, body: bytes, method: str = "POST") -> bytes:
    """Return the bytes of a request."""
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes
) -> tuple[int, bytes]:
    """Send one request and read its whole response."""
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    body = await reader.readexactly(length) if length else b""
    return int(head[9:12]), body


async def drive(port: int, requests: Sequence[bytes], *, concurrency: int, seconds: float) -> Load:
    """Keep ``concurrency`` connections busy for ``seconds``."""
    load = Load()
    until = time.perf_counter() + seconds
    turn = iter(range(10**9))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
        try:
            while time.perf_counter() < until:
                sent = requests[next(turn) % len(requests)]
                began = time.perf_counter()
                status, _ = await exchange(reader, writer, sent)
                load.latencies.append(time.perf_counter() - began)
                load.statuses[status] = load.statuses.get(status, 0) + 1
        finally:
            writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(concurrency)))
    load.seconds = time.perf_counter() - began
    return load


def run(port: int, requests: Sequence[bytes], *, concurrency: int, seconds: float) -> Load:
    """Run :func:`drive` from synchronous code."""
    import uvloop

    return uvloop.run(drive(port, requests, concurrency=concurrency, seconds=seconds))
