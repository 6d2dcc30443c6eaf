"""Data sets: wide CSV or Parquet files <-> readings.

One row is one reading::

    asset_id, [sensor_id], timestamp, <one column a feature> ..., [label]

``asset_id`` and ``timestamp`` must be there; an empty ``sensor_id`` is none; ``label`` is 0 or 1
(``true``/``false`` too) and never a feature. Every other column is a feature, unless the caller
names the features wanted. An empty cell is a value that was not measured (NaN in
:func:`load`, left out by :func:`readings`). CSV may be separated by comma, semicolon or tab.

Files are read in chunks, so a file larger than memory can be streamed with :func:`readings`.
"""

from datasets.reader import load, readings
from datasets.types import RESERVED, Dataset, Reading, Stream
from datasets.writer import save

__all__ = ["RESERVED", "Dataset", "Reading", "Stream", "load", "readings", "save"]
