"""Which accounts share one limiter."""

from collections.abc import Sequence

from exporter.config.capacity import limiter_groups
from exporter.config.credential_kinds import AccessKey, Credentials, DefaultChain, EcsRamRole
from exporter.config.model import Account
from exporter.core.secret import Secret


def key(access_key_id: str, text: str = "s") -> AccessKey:
    """Make an access key."""
    return AccessKey(access_key_id=access_key_id, access_key_secret=Secret(text))


def account(name: str, credentials: Credentials, group: str | None = None, endpoint: str = "https://e") -> Account:
    """Make an account."""
    return Account(name=name, credentials=credentials, limit_group=group, endpoint=endpoint)


def names(accounts: Sequence[Account]) -> list[str]:
    """Return the groups by the names of their members."""
    return [" ".join(member.name for member in group) for group in limiter_groups(accounts)]


def test_different_keys_have_different_limiters() -> None:
    """Accounts that have nothing in common stay apart, in their order."""
    assert names([account("b", key("1")), account("a", key("2")), account("c", EcsRamRole())]) == ["b", "a", "c"]


def test_the_same_endpoint_and_key_share_one() -> None:
    """One key is one budget, whatever secret is beside it; another endpoint is another service."""
    accounts = [account("a", key("1")), account("b", key("1", "t")), account("c", key("1"), endpoint="https://f")]
    assert names(accounts) == ["a b", "c"]


def test_the_same_source_of_keys_shares_one() -> None:
    """Two accounts with the default chain get the same key."""
    assert names([account("a", DefaultChain()), account("b", key("1")), account("c", DefaultChain())]) == ["a c", "b"]


def test_a_group_joins_and_is_transitive() -> None:
    """A group joins different keys, and what shares a key with any of them belongs to it."""
    accounts = [
        account("a", key("1")),
        account("b", key("2"), "g"),
        account("c", key("3")),
        account("d", key("1"), "g"),
        account("e", key("2")),
    ]
    assert names(accounts) == ["a b d e", "c"]
