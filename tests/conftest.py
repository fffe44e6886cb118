"""What holds for all tests."""

import gc
import os
from collections.abc import Generator, Iterator
from functools import partialmethod
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jinja2 import Environment, FileSystemBytecodeCache

from exporter.collector.rate_limiter import Limiter
from tests.support.generated import IN_CI, examples
from tests.support.processes import Programs

# How long an example takes says something about the machine, not about the property. CI takes many examples, and the
# same for the same commit; elsewhere each run takes a few new ones.
settings.register_profile(
    "exporter",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=IN_CI,
    print_blob=True,
)
settings.load_profile("exporter")

Programs.forks_daemons = True  # what is started by an interpreter of its own says so


TESTS = Path(__file__).parent
LONGEST = tuple(
    TESTS / path
    for path in (
        *("processes/test_sharing.py", "processes/test_commands.py", "collector/test_enemies.py"),
        *("processes/test_browser.py", "processes/test_alerting.py", "faults/test_matrix.py"),
        *("processes/test_odd_answers.py", "processes/test_shutdown.py", "storage/test_failures.py"),
        *("processes/test_dashboards.py", "processes/test_push_keys.py", "docs/test_commands.py"),
        *("faults/test_undocumented.py", "processes/test_canaries.py", "processes/test_prometheus.py"),
    )
)
"""Of test files, in the order in which they begin: none is to be the last alone, and one computes while others wait."""
PUNCTUAL = LONGEST[0]
"""What it starts promises to do something within seconds: all other files run at a lower priority."""
LOW_PRIORITY = 5


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one worker more than there are processors, or than twice as many where tests wait for other programs."""
    processors = len(os.sched_getaffinity(0))
    return 1 + (processors if "not processes" in config.option.markexpr else 2 * processors)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected: all that is imported stays. Later, collect it less often.

    The interpreter looks through young objects after 700 new ones: a twelfth of the processor time of tests.
    """
    gc.disable()
    collected = yield
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
    return collected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, then processes, then simulations: workers take one file after another."""
    if missing := [str(path) for path in LONGEST if not path.is_file()]:
        raise pytest.UsageError(f"tests/conftest.py names test files that don't exist: {', '.join(missing)}")

    def place(item: pytest.Item) -> tuple[int, bool, bool]:
        return (
            LONGEST.index(item.path) if item.path in LONGEST else len(LONGEST),
            item.get_closest_marker("processes") is None,
            item.get_closest_marker("simulations") is None,
        )

    items.sort(key=place)


@pytest.fixture(scope="module", autouse=True)
def _priority(request: pytest.FixtureRequest) -> None:
    """Lower the priority of this worker and of what it starts, from its first file that is not punctual on."""
    if "PYTEST_XDIST_WORKER" in os.environ and request.path != PUNCTUAL:
        os.setpriority(os.PRIO_PROCESS, 0, max(LOW_PRIORITY, os.getpriority(os.PRIO_PROCESS, 0)))


@pytest.fixture(scope="module", autouse=True)
def _small_heap() -> None:
    """Leave what is in memory out of later garbage collections, as the program does: a pass over it took 0.4 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile each template once for all servers of a worker: it takes 0.1 s."""
    compiled = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "__init__", partialmethod(Environment.__init__, bytecode_cache=compiled))
        yield


@pytest.fixture
def no_process_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first request go at once, without the second that belongs to a process before this one."""
    monkeypatch.setattr(Limiter, "wait_a_window", lambda _limiter: None)
