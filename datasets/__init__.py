"""Data sets: wide CSV, JSON, Parquet or workbook files <-> readings.

One row is one reading::

    asset_id, [sensor_id], timestamp, <one column per feature> ..., [label]

``sensor_id`` may be empty; ``label`` is never a feature. Every other numeric column is a feature,
unless the caller names the features. An empty cell is a value that was not measured (NaN in
:func:`load`, left out by :func:`readings`).

Separators, decimal commas, encodings, compression, time formats and labels are recognised if they
are unambiguous, and reported in ``notes``. Otherwise the error names the cause and the field of
:class:`FileFormat` (the option) that resolves it.

Files are read in chunks, so a file larger than memory can be streamed with :func:`readings`.
"""

from datasets.channels.joined_sensors import one_value_per_row
from datasets.file_sets.found_files import files_of, not_read
from datasets.format import FileFormat, add_format_arguments, format_of, names_in
from datasets.reader import load, without_repetitions
from datasets.several import load_files, readings
from datasets.types import RESERVED, Dataset, Reading, Stream, StreamKey, datetimes, key_of
from datasets.writer import save

__all__ = [
    "RESERVED", "Dataset", "FileFormat", "Reading", "Stream", "StreamKey", "add_format_arguments",
    "datetimes", "files_of", "format_of", "key_of", "load", "load_files", "names_in", "not_read",
    "one_value_per_row", "readings", "save", "without_repetitions",
]  # fmt: skip
