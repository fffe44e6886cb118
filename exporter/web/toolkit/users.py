"""Who may come in: names, and passwords held against bcrypt hashes without holding anyone else up."""

import asyncio
import hashlib
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import bcrypt

MOST_REMEMBERED: Final = 100
_MOST_PASSWORD_BYTES: Final = 72
"""All that bcrypt looks at."""
_SALT_AND_DIGEST: Final = 53
_SHORTEST_HASH: Final = 59
_HASH: Final = re.compile(rb"\$[\x00-2](?:\$|[^$].)(0[4-9]|[12][0-9]|3[01]).(.*)", re.DOTALL)
_BASIC: Final = "basic "


class Credentials(NamedTuple):
    """Who a client says to be."""

    name: bytes
    password: bytes


def read_authorization(header: str) -> Credentials | None:
    """Return what an `Authorization` header of the Basic scheme says; None if it is none."""
    if header[: len(_BASIC)].lower() != _BASIC:
        return None
    try:
        decoded = a2b_base64(header[len(_BASIC) :].encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        return None
    name, colon, password = decoded.partition(b":")
    return Credentials(name, password) if colon else None


def is_bcrypt_hash(text: str) -> bool:
    """Whether a text has the form of a bcrypt hash; what it is a hash of need not be possible."""
    return _parts(text.encode()) is not None


class PasswordChecks:
    """Holds passwords against hashes: one at a time, in a thread, and what was right is remembered.

    Only what was right: whoever tries many wrong passwords must not push out those who know theirs.

    Args:
        secret: Random bytes, by which what is remembered is digested: no password stays in memory.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def admits(
        self, users: Mapping[bytes, str], credentials: Credentials, still_there: Callable[[], bool] = lambda: True
    ) -> bool:
        """Whether a client is one of the users. A name that is none takes as long as a wrong password.

        Args:
            users: Their hashes by name, at least one.
            credentials: Who the client says to be.
            still_there: Whether the client waits for the answer; for one that went away nothing is checked.
        """
        known = users.get(credentials.name)
        checked = (known or _decoy(users)).encode()
        digest = self._digest(credentials, checked)
        if self._remembers(digest):
            return True
        async with self._one_at_a_time:
            if self._remembers(digest):
                return True
            if not still_there():
                return False
            check = asyncio.ensure_future(asyncio.to_thread(_matches, credentials.password, checked))
            try:
                is_right = await asyncio.shield(check)
            finally:
                await asyncio.wait([check])  # a thread can't be stopped: the next one waits for it all the same
        if is_right and known is not None:
            self._remember(digest)
            return True
        return False

    def _remembers(self, digest: bytes) -> bool:
        """Whether these credentials were right before."""
        if digest not in self._right:
            return False
        self._right.move_to_end(digest)
        return True

    def _remember(self, digest: bytes) -> None:
        """Keep them, in place of those that were not used for longest."""
        self._right[digest] = None
        if len(self._right) > MOST_REMEMBERED:
            self._right.popitem(last=False)

    def _digest(self, credentials: Credentials, checked: bytes) -> bytes:
        """Return what stands for these credentials and the hash that they were held against."""
        whole = hashlib.blake2b(key=self._secret)
        for part in (credentials.name, checked, credentials.password):
            whole.update(len(part).to_bytes(8, "big") + part)
        return whole.digest()


def _matches(password: bytes, hashed: bytes) -> bool:
    """Hold a password against a hash, which takes a while; version letters make no difference, as in Go."""
    parts = _parts(hashed)
    if parts is None:
        return False
    cost, rest = parts
    try:
        return bcrypt.checkpw(password[:_MOST_PASSWORD_BYTES], b"$2b$%b$%b" % (cost, rest))
    except ValueError:
        return False


def _parts(hashed: bytes) -> tuple[bytes, bytes] | None:
    """Return the cost, and salt with digest, of what has the form of a hash; what follows them counts for nothing."""
    match = _HASH.fullmatch(hashed)
    if match is None or len(hashed) < _SHORTEST_HASH:
        return None
    return match[1], match[2][:_SALT_AND_DIGEST]


def _decoy(users: Mapping[bytes, str]) -> str:
    """Return a hash that no password is right for, as costly as the costliest of the users."""
    costs = (parts[0] for parts in map(_parts, (text.encode() for text in users.values())) if parts is not None)
    return f"$2b${max(costs, default=b'10').decode()}${'.' * _SALT_AND_DIGEST}"
