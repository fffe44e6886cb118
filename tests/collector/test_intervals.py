"""The pause after failures."""

from exporter.collector.status import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Backoff


def test_there_is_no_pause_without_a_failure() -> None:
    """An app that never failed may be read at any time."""
    assert Backoff().ends_at() == float("-inf")


def test_pauses_double_up_to_a_bound() -> None:
    """Each failure in a row doubles the pause; it never grows beyond its bound."""
    backoff = Backoff()
    pauses = []
    for _ in range(20):
        backoff.failed(100.0)
        pauses.append(backoff.ends_at() - 100.0)
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == max(pauses) == LONGEST_PAUSE_SECONDS


def test_a_success_ends_the_pause_and_the_doubling() -> None:
    """After a success the next failure pauses as briefly as the first."""
    backoff = Backoff()
    backoff.failed(1.0)
    backoff.failed(2.0)
    backoff.succeeded()
    assert backoff.ends_at() == float("-inf")
    backoff.failed(3.0)
    assert backoff.ends_at() == 3.0 + FIRST_PAUSE_SECONDS
