"""Data sets: wide CSV or Parquet files <-> readings.

One row is one reading::

    asset_id, [sensor_id], timestamp, <one column per feature> ..., [label]

An empty ``sensor_id`` is none; ``label`` is never a feature. Every other column of numbers is a
feature, unless the caller names the features wanted. An empty cell is a value that was not
measured (NaN in :func:`load`, left out by :func:`readings`).

Files are taken as people have them: separators, decimal commas, encodings, compression, forms of
times and labels are recognised where they can only mean one thing, and named in ``notes``; else one
sentence names the cause and the field of :class:`FileFormat` (the option) that settles it.

Files are read in chunks, so a file larger than memory can be streamed with :func:`readings`.
"""

from datasets.format import FileFormat, add_format_arguments, format_of, names_in
from datasets.reader import load, readings, without_repetitions
from datasets.several import files_of, load_files
from datasets.types import RESERVED, Dataset, Reading, Stream, StreamKey, datetimes
from datasets.writer import save

__all__ = [
    "RESERVED", "Dataset", "FileFormat", "Reading", "Stream", "StreamKey", "add_format_arguments",
    "datetimes", "files_of", "format_of", "load", "load_files", "names_in", "readings", "save",
    "without_repetitions",
]  # fmt: skip
