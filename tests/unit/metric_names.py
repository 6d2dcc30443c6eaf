"""The metrics that the code defines, read out of its sources: name -> labels, and their series."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("consumers", "serving", "training", "db", "notify", "models", "deploy")
#: class of prometheus_client -> what it appends to a metric's name when it is scraped
SUFFIXES = {
    "Counter": ("_total", "_created"),
    "Gauge": ("",),
    "Histogram": ("_bucket", "_sum", "_count"),
    "Summary": ("_sum", "_count"),
    "CounterMetricFamily": ("_total",),
    "GaugeMetricFamily": ("",),
}


@dataclass(frozen=True)
class Metric:
    """One metric as the code defines it."""

    name: str
    kind: str
    labels: frozenset[str]
    where: str

    @property
    def series(self) -> list[str]:
        """The names it is scraped under."""
        return [self.name.removesuffix("_total") + suffix for suffix in SUFFIXES[self.kind]]

    @property
    def documented(self) -> str:
        """The name in docs/metrics.md: a counter's with ``_total``, else the bare one."""
        return self.series[0] if self.kind.startswith("Counter") else self.name


@cache
def defined() -> tuple[Metric, ...]:
    """Every metric defined in the project, in the order of files and lines."""
    files = [ROOT / "service.py"]
    for package in PACKAGES:
        files += sorted((ROOT / package).rglob("*.py"))
    texts = {file: file.read_text() for file in files if file.exists()}
    return tuple(
        metric
        for file, text in texts.items()
        if "prometheus_client" in text
        for metric in _in_file(file, list(ast.walk(ast.parse(text))))
    )


def _in_file(file: Path, nodes: list[ast.AST]) -> Iterator[Metric]:
    imported = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client")
        for alias in node.names
    }
    # gauge = partial(Gauge, registry=...)
    given = {
        ast.unparse(node.targets[0]): ast.unparse(node.value.args[0])
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "partial"
    }
    for node in nodes:
        if not isinstance(node, ast.Call) or not node.args:
            continue
        kind = node.func.attr if isinstance(node.func, ast.Attribute) else None
        if isinstance(node.func, ast.Name):
            kind = node.func.id if node.func.id in imported else given.get(node.func.id)
        name = node.args[0]
        if kind in SUFFIXES and isinstance(name, ast.Constant) and isinstance(name.value, str):
            where = str(file.relative_to(ROOT))
            yield Metric(name.value, kind, frozenset(_labels(node)), where)


def _labels(call: ast.Call) -> Iterator[str]:
    given = [k.value for k in call.keywords if k.arg in ("labelnames", "labels")] + call.args[2:3]
    for value in given:
        if isinstance(value, ast.List | ast.Tuple):
            yield from (str(e.value) for e in value.elts if isinstance(e, ast.Constant))
