"""Users and passwords: bcrypt checks in a thread, fair to client addresses."""

import asyncio
import hashlib
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple, TypeAlias

import bcrypt

from exporter.core.threads import Worker

MOST_WAITING: Final = 64  # requests of one address. The limit on connections bounds all together
FEW: Final = 16  # of one address are let in in their order: at 0.25 s each well within a scrape's 10 s
MOST_SUSPECTS: Final = 10_000
_IPV6_NETWORK_BITS: Final = 64


class QueueFullError(Exception):
    """Too many requests of one address wait."""


class _Lane(deque[asyncio.Future[None]]):
    """The requests of one address that wait, the oldest first."""

    _taken = 0

    def take(self) -> asyncio.Future[None]:
        self._taken += 1
        return self.pop() if len(self) > FEW and self._taken % 4 else self.popleft()


_Lanes: TypeAlias = OrderedDict[str, _Lane]


class FairQueue:
    """Admits one request at a time.

    An address becomes a suspect when it fails. Suspects and others alternate: among others the newest address is next,
    among suspects each in turn. Of one address, few requests are let in in their order; of many the newest is next
    three times of four, and the oldest otherwise, so that none waits forever.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._others: _Lanes = OrderedDict()
        self._suspected: _Lanes = OrderedDict()
        self._suspects: OrderedDict[str, None] = OrderedDict()
        self._suspects_are_next = False

    async def enter(self, address: str) -> None:
        """Wait for a turn, which ends with `leave`; raises QueueFullError if `MOST_WAITING` newer ones of it wait."""
        if not self._is_taken:
            self._is_taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane = self._lanes_of(address).setdefault(address, _Lane())
        lane.append(turn)
        if len(lane) > MOST_WAITING and not (oldest := lane.popleft()).done():
            oldest.set_exception(QueueFullError)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:  # it had been let in
                self._let_next_in()
            raise

    def leave(self, address: str, *, failed: bool | None) -> None:
        """End a turn; `failed` says whether the address is a suspect from now on, None leaves that as it was."""
        if failed is not None:
            self._suspect(address, is_suspect=failed)
        self._let_next_in()

    def _lanes_of(self, address: str) -> _Lanes:
        return self._suspected if address in self._suspects else self._others

    def _suspect(self, address: str, is_suspect: bool) -> None:
        lane = self._lanes_of(address).pop(address, None)
        self._suspects.pop(address, None)
        if is_suspect:
            self._suspects[address] = None
            if len(self._suspects) > MOST_SUSPECTS:
                self._suspect(next(iter(self._suspects)), is_suspect=False)
        if lane is not None:
            self._lanes_of(address)[address] = lane

    def _let_next_in(self) -> None:
        while self._suspected or self._others:
            are_suspects = bool(self._suspected) and (self._suspects_are_next or not self._others)
            lanes = self._suspected if are_suspects else self._others
            address, lane = lanes.popitem(last=not are_suspects)
            turn = lane.take()
            if lane:
                lanes[address] = lane
            if not turn.done():
                self._suspects_are_next = not are_suspects
                turn.set_result(None)
                return
        self._is_taken = False


def client_of(remote: str | None) -> str:
    """Return what identifies a client: its IPv4 address or its IPv6 network."""
    try:
        address = ip_address((remote or "").partition("%")[0])
    except ValueError:
        return remote or ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return (int(address) >> _IPV6_NETWORK_BITS).to_bytes(8, "big").hex(":", 2)


MOST_REMEMBERED: Final = 100
MOST_REMEMBERED_WRONG: Final = 1000
_MOST_PASSWORD_BYTES: Final = 72  # bcrypt ignores the rest
_SALT_AND_DIGEST: Final = 53
_SHORTEST_HASH: Final = 59
_HASH: Final = re.compile(rb"\$[\x00-2](?:\$|[^$].)(0[4-9]|[12][0-9]|3[01]).(.*)", re.DOTALL)
_BASIC: Final = "basic "


class BasicCredentials(NamedTuple):
    """Who a client says to be."""

    name: bytes
    password: bytes


def read_authorization(header: str) -> BasicCredentials | None:
    """Return the credentials in an `Authorization` header of the Basic scheme, else None."""
    if header[: len(_BASIC)].lower() != _BASIC:
        return None
    try:
        decoded = a2b_base64(header[len(_BASIC) :].encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError):
        return None
    name, colon, password = decoded.partition(b":")
    return BasicCredentials(name, password) if colon else None


def is_bcrypt_hash(text: str) -> bool:
    """Whether a text has the form of a bcrypt hash."""
    return _parts(text.encode()) is not None


class PasswordChecks:
    """Checks passwords one at a time, in a thread; it remembers digests by a random `secret`, and no password."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._right = _Remembered(MOST_REMEMBERED)
        self._wrong = _Remembered(MOST_REMEMBERED_WRONG)
        self._queue = FairQueue()
        self._thread = Worker("check passwords")

    async def admits(
        self,
        users: Mapping[bytes, str],
        credentials: BasicCredentials,
        client: str = "",
        still_there: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Whether a client is one of the users: hashes by name, at least one. Raises QueueFullError.

        An unknown name takes as long as a wrong password.
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
        if right in self._right:
            return True
        return False if wrong in self._wrong else None

    def _digest(self, *parts: bytes) -> bytes:
        whole = hashlib.blake2b(key=self._secret)
        for part in parts:
            whole.update(len(part).to_bytes(8, "big") + part)
        return whole.digest()


class _Remembered:
    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, item: bytes) -> bool:
        if item not in self._items:
            return False
        self._items.move_to_end(item)
        return True

    def add(self, item: bytes) -> None:
        self._items[item] = None
        if len(self._items) > self._most:
            self._items.popitem(last=False)


def _matches(password: bytes, hashed: bytes) -> bool:
    """Check a password, which takes a while; the version letter makes no difference, as in Go."""
    parts = _parts(hashed)
    if parts is None:
        return False
    cost, rest = parts
    try:
        return bcrypt.checkpw(password[:_MOST_PASSWORD_BYTES], b"$2b$%b$%b" % (cost, rest))
    except ValueError:
        return False


def _parts(hashed: bytes) -> tuple[bytes, bytes] | None:
    match = _HASH.fullmatch(hashed)
    if match is None or len(hashed) < _SHORTEST_HASH:
        return None
    return match[1], match[2][:_SALT_AND_DIGEST]


def _decoy(users: Mapping[bytes, str]) -> str:
    """Return a hash that no password matches, as costly as the costliest of the users."""
    costs = (parts[0] for parts in map(_parts, (text.encode() for text in users.values())) if parts is not None)
    return f"$2b${max(costs, default=b'10').decode()}${'.' * _SALT_AND_DIGEST}"
