"""Tests of bounded remembering."""

from exporter.policy.memo import Memo


def test_what_is_put_is_known() -> None:
    """A value comes back by its key, and nothing by another key."""
    memo = Memo[str, int]()
    memo.put("a", 1)
    assert memo.get("a") == 1
    assert memo.get("b") is None


def test_it_stays_within_two_generations() -> None:
    """However much is put, no more than twice the entries are kept."""
    memo = Memo[int, int](entries=10)
    for number in range(1000):
        memo.put(number, number)
        assert len(memo) <= 20
    assert memo.get(999) == 999
    assert memo.get(5) is None


def test_what_is_asked_for_survives() -> None:
    """A value that is asked for again and again is never forgotten."""
    memo = Memo[int, str](entries=3)
    memo.put(-1, "kept")
    for number in range(100):
        memo.put(number, "other")
        assert memo.get(-1) == "kept"


def test_equal_values_are_one_object() -> None:
    """Sharing returns the first of equal values."""
    memo = Memo[bytes, bytes]()
    first, second = bytes([1, 2]), bytes([1, 2])
    assert memo.share(first) is first
    assert memo.share(second) is first
