"""The model's own behaviour."""

import pytest

from exporter.config.model import Account, Buckets, Collection


@pytest.mark.parametrize("field", list(Buckets.model_fields))
def test_default_bounds_rise(field: str) -> None:
    """The default bounds of each distribution rise strictly."""
    bounds = getattr(Buckets(), field)
    assert list(bounds) == sorted(set(bounds))


def test_stale_after_defaults_to_three_sweeps() -> None:
    """Without a value of its own stale_after is three sweep intervals; with one it stays."""
    assert Collection(sweep_interval_seconds=100).stale_after_seconds == 300
    assert Collection(sweep_interval_seconds=100, stale_after_seconds=200).stale_after_seconds == 200


def test_an_account_does_not_show_its_proxy() -> None:
    """The repr of an account has no address that could hold a password."""
    assert "swordfish" not in repr(Account(name="a", proxy="http://u:swordfish@proxy"))
