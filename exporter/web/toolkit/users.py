"""Who may come in: names, and passwords checked against bcrypt hashes without holding anyone else up."""

import hashlib
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import bcrypt

from exporter.threads import Worker
from exporter.web.toolkit.fair_queue import FairQueue

MOST_REMEMBERED: Final = 100
MOST_REMEMBERED_WRONG: Final = 1000
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
    """Checks passwords against hashes: one at a time, in a thread of its own; clients take turns.

    What was right is remembered, and what was wrong for the client that sent it: one that repeats an old password costs
    one check. They are remembered apart, so that wrong ones push out no right ones.

    Args:
        secret: Random bytes, by which what is remembered is digested: no password stays in memory.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._right = _Remembered(MOST_REMEMBERED)
        self._wrong = _Remembered(MOST_REMEMBERED_WRONG)
        self._queue = FairQueue()
        self._thread = Worker("check passwords")

    async def admits(
        self,
        users: Mapping[bytes, str],
        credentials: Credentials,
        client: str = "",
        still_there: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Whether a client is one of the users. A name that is none takes as long as a wrong password.

        Args:
            users: Their hashes by name, at least one.
            credentials: Who the client says to be.
            client: Its address.
            still_there: Whether the client waits for the answer; for one that went away nothing is checked.

        Raises:
            QueueFullError: Too many requests of this client wait.
        """
        known = users.get(credentials.name)
        checked = (known or _decoy(users)).encode()
        right = self._digest(*credentials, checked)
        wrong = self._digest(*credentials, checked, client.encode())
        if (answer := self._remembered(right, wrong)) is not None:
            return answer
        await self._queue.enter(client)
        failed: bool | None = None
        try:
            if (answer := self._remembered(right, wrong)) is not None:
                return answer
            if not still_there():
                return False
            is_right = await self._thread.run(_matches, credentials.password, checked)
            failed = not is_right or known is None
            (self._wrong if failed else self._right).add(wrong if failed else right)
            return not failed
        finally:
            self._queue.leave(client, failed=failed)

    def _remembered(self, right: bytes, wrong: bytes) -> bool | None:
        """Return what an earlier check found; None without one."""
        if right in self._right:
            return True
        return False if wrong in self._wrong else None

    def _digest(self, *parts: bytes) -> bytes:
        """Return what stands for credentials, the hash that they were checked against, and perhaps a client."""
        whole = hashlib.blake2b(key=self._secret)
        for part in parts:
            whole.update(len(part).to_bytes(8, "big") + part)
        return whole.digest()


class _Remembered:
    """A bounded set: a new item takes the place of the one that was not asked for longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, item: bytes) -> bool:
        if item not in self._items:
            return False
        self._items.move_to_end(item)
        return True

    def add(self, item: bytes) -> None:
        """Remember an item."""
        self._items[item] = None
        if len(self._items) > self._most:
            self._items.popitem(last=False)


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
