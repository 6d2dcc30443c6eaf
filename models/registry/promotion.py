"""Move the champion alias: promote a version, keep a challenger, roll back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from errors import AnomalyError, Conflict, NotFound
from models.bundles.bundle import Bundle
from models.registry.base import CHALLENGER, CHAMPION, Registry

PREVIOUS_TAG = "previous_champion"
PROMOTED_TAG = "promoted_at"
VERDICT_TAG = "verdict"


def load_version(registry: Registry, version: str, cache: Path) -> Bundle:
    """Return a registered bundle.

    Parameters
    ----------
    registry, version
        Where the bundle is registered, and as which version.
    cache
        Folder of fetched bundles; the bundle is fetched unless it is there.
    """
    return Bundle.load(registry.fetch(version, cache))


@dataclass(frozen=True, slots=True)
class Champion:
    """The champion's version and bundle; ``problem`` says why the bundle cannot be loaded."""

    version: str | None = None
    bundle: Bundle | None = None
    problem: str | None = None


def load_champion(registry: Registry, cache: Path, known: Champion | None = None) -> Champion:
    """Return the current champion.

    Parameters
    ----------
    registry
        Gives the alias and the bundle.
    cache
        Folder of fetched bundles.
    known
        An earlier result, which is returned if the version is still the same.
    """
    version = registry.alias(CHAMPION)
    if known is not None and known.version == version:
        return known
    if version is None:
        return Champion()
    try:
        return Champion(version, load_version(registry, version, cache))
    except AnomalyError as error:  # a damaged champion must not prevent training a new one
        problem = f"the champion, version {version}, cannot be loaded: {error.message}"
        return Champion(version, problem=problem)


def promote(registry: Registry, version: str, why: str) -> str | None:
    """Make ``version`` champion; return the previous champion.

    A tag of the version names the previous champion, for a roll-back.

    Parameters
    ----------
    registry
        Holds the version.
    version
        The new champion.
    why
        The verdict, stored as a tag.
    """
    before = registry.alias(CHAMPION)
    if before == version:
        return before
    if before is not None:
        registry.tag(version, PREVIOUS_TAG, before)
    registry.tag(version, PROMOTED_TAG, datetime.now(UTC).isoformat(timespec="seconds"))
    registry.tag(version, VERDICT_TAG, why[:500])
    registry.set_alias(CHAMPION, version)
    if registry.alias(CHALLENGER) == version:
        registry.drop_alias(CHALLENGER)
    return before


def challenge(registry: Registry, version: str, why: str) -> None:
    """Make ``version`` the challenger, with the reason why it is not champion.

    Parameters
    ----------
    registry
        Holds the version.
    version
        The new challenger.
    why
        The verdict, stored as a tag.
    """
    registry.tag(version, VERDICT_TAG, why[:500])
    registry.set_alias(CHALLENGER, version)


def roll_back(registry: Registry, champion: str | None = None) -> tuple[str, str]:
    """Restore the previous champion; return the replaced version and the restored one.

    Parameters
    ----------
    registry
        Holds both.
    champion
        The version to be replaced, so that a repeated request does not go back twice; None: any.

    Raises
    ------
    NotFound
        There is no champion, or it replaced none.
    Conflict
        ``champion_moved``: another version is champion.
    """
    now = registry.alias(CHAMPION)
    if now is None:
        raise NotFound("there is no champion to roll back")
    if champion is not None and champion != now:
        raise Conflict(
            f"version {now} is the champion now, not {champion}: nothing is rolled back",
            code="champion_moved",
            field="champion",
        )
    tags: dict[str, str] = next((v["tags"] for v in registry.versions() if v["version"] == now), {})
    before = tags.get(PREVIOUS_TAG)
    if before is None:
        raise NotFound(f"version {now} replaced no champion: there is nothing to go back to")
    registry.tag(now, "rolled_back_at", datetime.now(UTC).isoformat(timespec="seconds"))
    registry.set_alias(CHAMPION, before)
    return now, before
