"""What is read in tests that read anything: it is accepted, or refused with a line for each mistake."""

from collections.abc import Callable, Sequence

from exporter.config.mistakes import ConfigError, Mistake


def mistakes_if_refused(read: Callable[[], object]) -> Sequence[Mistake]:
    """Return the mistakes for which something is refused, each a line of its own; none if it is accepted."""
    try:
        read()
    except ConfigError as error:
        refusal = error
    else:
        return ()
    assert refusal.mistakes
    assert str(refusal).count("\n") == len(refusal.mistakes) - 1
    return refusal.mistakes
