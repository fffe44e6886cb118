"""The numbers of the last hours that pages draw."""

from exporter.service.trends import MOST_SAMPLES, SAMPLE_SECONDS, Trends
from exporter.web.view import AppView
from tests.web.fake_view import FixedClock, app_view

MIXED = ("CN-Shanghai", "mixed")


def test_apps_and_their_sum_are_sampled() -> None:
    """What is not known is no 0, and an app that is gone is forgotten."""
    apps: list[AppView] = [app_view({MIXED: 3}, app_id="a"), app_view(None, app_id="b")]
    trends = Trends(lambda: apps, {("production", "a"): 2, ("production", "b"): 5}.get, FixedClock())
    trends.sample()
    apps[:] = [app_view(None, app_id="a"), app_view({MIXED: 7}, app_id="b")]
    trends.sample()
    assert trends.of("production", "a").tasks == [3, None]
    assert trends.of("production", "b").violations == [None, 5]
    assert trends.of().tasks == [3, 7]
    assert trends.of().violations == [2, 5]
    del apps[0]
    trends.sample()
    assert list(trends.of("production", "a").tasks) == []
    assert trends.of("production", "b").tasks == [None, 7, 7]


def test_six_hours_are_kept() -> None:
    """The oldest sample makes room for the newest."""
    counts = iter(range(10_000))
    trends = Trends(lambda: [app_view({MIXED: next(counts)})], lambda _key: 0, FixedClock())
    for _ in range(MOST_SAMPLES + 5):
        trends.sample()
    trend = trends.of("production", "live-main")
    assert trend.tasks == list(range(5, MOST_SAMPLES + 5))
    assert len(trend.tasks) * SAMPLE_SECONDS == 6 * 3600
