"""The reference of all metrics."""

from pathlib import Path

from exporter.metrics.catalogue import declarations, metrics_markdown

REFERENCE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_reference_is_up_to_date() -> None:
    """What is checked in is what the declarations say: `make generate` writes it."""
    assert REFERENCE.read_text("utf-8") == metrics_markdown()


def test_every_family_and_every_closed_value_is_documented() -> None:
    """Nothing is published that the reference does not name."""
    text = metrics_markdown()
    for declaration in declarations():
        assert f"| `{declaration.name}` |" in text
        for label in declaration.labels:
            assert f"| `{label.name}`" in text
            assert all(f"`{value}`" in text for value in label.values)


def test_what_is_easily_misread_is_said() -> None:
    """Configuration is not health, bytes are not bits, and a gauge histogram has no rate."""
    text = metrics_markdown()
    assert "Configuration, not stream health." in text
    assert "multiply by 8" in text
    assert "**without** `rate()`" in text
