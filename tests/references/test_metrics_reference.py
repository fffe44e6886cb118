"""The reference of all metrics."""

from exporter.metrics.exposition import declarations
from tests.references.metrics_reference import metrics_markdown


def test_every_family_and_every_closed_value_is_documented() -> None:
    """Nothing is published that the reference does not name."""
    text = metrics_markdown()
    for declaration in declarations():
        assert f"| `{declaration.name}` |" in text
        for label in declaration.labels:
            assert f"| `{label.name}`" in text
            assert all(f"`{value}`" in text for value in label.values)
