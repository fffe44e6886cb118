"""How the fields of an answer say what they are."""

from msgspec import Meta


def about(description: str) -> Meta:
    """Return the annotation that says what a field means: for readers of the code and of the OpenAPI document."""
    return Meta(description=description)
