"""Upkeep: what a product's settings do not keep any longer goes: snapshots, then raw data, refused rows and logs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from polyport.access import configuration
from polyport.pipeline import retention
from polyport.pipeline.folders import safe
from polyport.pipeline.raw import RawStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from polyport.access.control import Control
    from polyport.descriptor.types import DataProduct, Settings
    from polyport.store import Expired, Store


class Kept(Protocol):
    """What is kept of a product, as upkeep finds it."""

    spec: DataProduct
    state: Path
    store: Store
    control: Control

    @property
    def clock(self) -> Callable[[], datetime]:
        """Gives the time, in UTC."""
        ...


def expire(kept: Kept) -> Expired:
    """Remove the snapshots that the product's retention does not keep; then as `tidy`.

    Raises:
        StoreError: Something cannot be read or removed.
    """
    settings, before = _retention(kept)
    expired = kept.store.expire(kept.spec.id, keep=settings.keep_snapshots, before=before)
    tidy(kept)
    return expired


def tidy(kept: Kept) -> None:
    """Remove raw data, refused rows and logs of runs that need not be kept.

    Raises:
        StoreError: Something cannot be read or removed.
    """
    settings, before = _retention(kept)
    name = safe(kept.spec.id)
    raw = RawStore(kept.state / "raw" / name, clock=kept.clock)
    retention.tidy(
        retention.Kept(raw, kept.state / "quarantine" / name, kept.state / "logs" / name),
        lambda: {snapshot.run for snapshot in kept.store.history(kept.spec.id)},
        retention.Limits(settings.keep_runs, before),
    )


def _retention(kept: Kept) -> tuple[Settings, datetime | None]:
    settings = configuration.running_settings(kept.control, kept.spec)
    days = settings.keep_days
    return settings, kept.clock() - timedelta(days=days) if days else None
