"""Set the criticality of assets: ``python -m db.assets``.

The criticality of an asset sets its false-alarm budget: a more critical asset alarms earlier, at
the price of more false alarms. An asset that is not listed is medium. The criticality does not
change the score of a reading, only the alarm threshold.

  critical  alarms from score 0.3 (one false alarm in 100 readings)
  high                        0.4 (one in 316)
  medium                      0.5 (one in 1,000)
  low                         0.7 (one in 10,000)

For example:
  python -m db.assets set critical TURBINE_001 TURBINE_002 --why 'no spare'
  python -m db.assets import assets.csv     # columns asset_id, criticality; - is stdin. Assets
                                            # that keep their criticality keep author and reason
  python -m db.assets list --criticality critical
  python -m db.assets list > assets.csv     # the CSV that import reads
  python -m db.assets remove TURBINE_002    # medium again

A running bridge applies a change within a minute. DATABASE_URL names the database.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, text

from config import load_settings
from db.authors import add_author_arguments, author_of
from db.migrate import open_migrated
from db.session import transaction
from errors import DatasetError, InputError
from runtime import command_parser, report_errors, run_command
from schemas import CRITICALITIES, Criticality, check_name

DEFAULT: Criticality = "medium"

_CRITICALITIES = text("""
    SELECT asset_id, criticality FROM assets WHERE asset_id = ANY(CAST(:ids AS text[]))
""")
_LIST = text("""
    SELECT asset_id, criticality FROM assets
    WHERE CAST(:criticality AS text) IS NULL OR criticality = :criticality ORDER BY asset_id
""")
_SET = text("""
    INSERT INTO assets (asset_id, criticality, changed_at, changed_by, reason)
    SELECT asset_id, criticality, now(), :who, :why
    FROM unnest(CAST(:ids AS text[]), CAST(:criticalities AS text[])) AS a(asset_id, criticality)
    ON CONFLICT (asset_id) DO UPDATE
    SET criticality = excluded.criticality, changed_at = excluded.changed_at,
        changed_by = excluded.changed_by, reason = excluded.reason
""")
_GET = text("""
    SELECT asset_id, criticality, changed_at, changed_by, reason FROM assets WHERE asset_id = :id
""")
_REMOVE = text("DELETE FROM assets WHERE asset_id = ANY(CAST(:ids AS text[])) RETURNING asset_id")


def asset_criticalities(
    connection: Connection, asset_ids: Collection[str]
) -> dict[str, Criticality]:
    """Return the criticality of each of these assets; ``medium`` if an asset is not listed."""
    found: dict[str, Criticality] = dict.fromkeys(asset_ids, DEFAULT)
    if found:
        rows = connection.execute(_CRITICALITIES, {"ids": list(found)})
        found.update({row.asset_id: row.criticality for row in rows})
    return found


def list_assets(
    connection: Connection, criticality: Criticality | None = None
) -> dict[str, Criticality]:
    """Return the listed assets, all or those of one criticality, by name."""
    rows = connection.execute(_LIST, {"criticality": criticality})
    return {row.asset_id: row.criticality for row in rows}


def get_asset(connection: Connection, asset_id: str) -> dict[str, Any]:
    """Return one asset with its author; ``listed`` is false if the table does not contain it."""
    row = connection.execute(_GET, {"id": asset_id}).mappings().one_or_none()
    if row is not None:
        return {**row, "listed": True}
    unknown = dict.fromkeys(("changed_at", "changed_by", "reason"))
    return {"asset_id": asset_id, "criticality": DEFAULT, **unknown, "listed": False}


def set_assets(
    connection: Connection, assets: Mapping[str, Criticality], who: str, why: str | None = None
) -> None:
    """Add assets or change their criticality, with author and reason.

    Parameters
    ----------
    connection : Connection
    assets : mapping of str to Criticality
    who : str
    why : str, optional
        Author and reason, stored with each asset.
    """
    names = sorted(assets)
    values: dict[str, Any] = {
        "ids": names,
        "criticalities": [assets[name] for name in names],
        "who": who,
        "why": why,
    }
    if names:
        connection.execute(_SET, values)


def remove_assets(connection: Connection, asset_ids: Collection[str]) -> list[str]:
    """Remove assets, so that they are ``medium``; return those that existed."""
    rows = connection.execute(_REMOVE, {"ids": list(asset_ids)})
    return sorted(row.asset_id for row in rows)


def read_csv(lines: TextIO) -> dict[str, Criticality]:
    """Read a CSV with the columns ``asset_id`` and ``criticality``; others are ignored.

    Raises
    ------
    DatasetError
        Names the line, the column and the invalid value; nothing is imported then.
    """
    first = lines.readline().removeprefix("\ufeff")  # spreadsheets begin UTF-8 with this mark
    reader = csv.DictReader(chain([first], lines))
    columns = reader.fieldnames or []
    missing = {"asset_id", "criticality"} - set(columns)
    if missing:
        raise DatasetError(f"the CSV's first line lacks the column {', '.join(sorted(missing))}")
    assets: dict[str, Criticality] = {}
    for row in reader:
        where = f"line {reader.line_num}"
        try:
            name = check_name((row["asset_id"] or "").strip(), "asset_id")
            value = _criticality(row["criticality"] or "")
        except InputError as error:
            raise DatasetError(f"{where}: {error.message}") from None
        if assets.setdefault(name, value) != value:
            raise DatasetError(f"{where}: {name} has two criticalities, {assets[name]} and {value}")
    return assets


def _criticality(value: str) -> Criticality:
    cleaned = value.strip().lower()
    if cleaned not in CRITICALITIES:
        raise InputError(f"criticality: {value!r} is none of {', '.join(CRITICALITIES)}")
    return cleaned


# -- the command ------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("db.assets", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="print the table as CSV")
    listing.set_defaults(run=_list)
    listing.add_argument("--criticality", choices=CRITICALITIES, help="only these")
    setting = commands.add_parser("set", help="add assets, or change them")
    setting.set_defaults(run=_set)
    setting.add_argument("criticality", choices=CRITICALITIES)
    setting.add_argument("asset_id", nargs="+")
    importing = commands.add_parser(
        "import", help="set all assets of a CSV, or none after an error"
    )
    importing.set_defaults(run=_import)
    importing.add_argument("file", help="a path, or - for standard input")
    for one in (setting, importing):
        add_author_arguments(one, "the assets")
    removing = commands.add_parser("remove", help="remove assets; they are medium again")
    removing.set_defaults(run=_remove)
    removing.add_argument("asset_id", nargs="+")
    return parser


def _list(connection: Connection, arguments: argparse.Namespace) -> int:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["asset_id", "criticality"])
    writer.writerows(list_assets(connection, arguments.criticality).items())
    return 0


def _set(connection: Connection, arguments: argparse.Namespace) -> int:
    names = [check_name(name, "asset_id") for name in arguments.asset_id]
    set_assets(connection, dict.fromkeys(names, arguments.criticality), *author_of(arguments))
    print(f"{len(set(names))} assets are {arguments.criticality}")
    return 0


def _import(connection: Connection, arguments: argparse.Namespace) -> int:
    try:
        if arguments.file == "-":
            assets = read_csv(sys.stdin)
        else:
            with Path(arguments.file).open(encoding="utf-8", newline="") as lines:
                assets = read_csv(lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{arguments.file} cannot be read: {reason}") from None
    before = list_assets(connection)
    # the others keep the author and the reason of their present criticality
    changed = {name: value for name, value in assets.items() if before.get(name) != value}
    set_assets(connection, changed, *author_of(arguments))
    print(f"{len(assets)} assets set")
    return 0


def _remove(connection: Connection, arguments: argparse.Namespace) -> int:
    gone = remove_assets(connection, arguments.asset_id)
    unknown = sorted(set(arguments.asset_id) - set(gone))
    print(f"{len(gone)} assets removed" + (f"; not known: {', '.join(unknown)}" if unknown else ""))
    return 1 if unknown else 0


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if done, 1 if part of the request failed."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level="WARNING", format="%(message)s")
    with transaction(open_migrated(load_settings())) as connection:
        code: int = arguments.run(connection, arguments)
        return code


if __name__ == "__main__":
    run_command(main)
