"""A queue that is fair to client addresses: whoever sends many requests waits for themselves."""

import asyncio
from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeAlias

MOST_WAITING: Final = 16
"""Requests of one address. All together are at most as many as there are connections."""
MOST_SUSPECTS: Final = 10_000
_IPV6_NETWORK_BITS: Final = 64
"""What one client has for itself."""

_Lanes: TypeAlias = "OrderedDict[str, deque[asyncio.Future[None]]]"


class QueueFullError(Exception):
    """Too many requests of one address wait."""


class FairQueue:
    """Lets one request in at a time.

    After a failure, an address is a suspect. Suspects and others take turns: of others the newest address is next, of
    suspects each in its turn. So a new address waits for few, whatever the number of suspects. Of one address, the
    newest and the oldest request take turns: one that just came waits for few, and none waits without end.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._others: _Lanes = OrderedDict()
        self._suspected: _Lanes = OrderedDict()
        self._suspects: OrderedDict[str, None] = OrderedDict()
        self._suspects_are_next = False
        self._oldest_is_next = False

    async def enter(self, address: str) -> None:
        """Wait for a turn, which ends with `leave`.

        Raises:
            QueueFullError: `MOST_WAITING` of this address wait already.
        """
        if not self._is_taken:
            self._is_taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane = self._lanes_of(address).setdefault(address, deque())
        if len(lane) >= MOST_WAITING:
            raise QueueFullError
        lane.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had been let in
                self._let_next_in()
            raise

    def leave(self, address: str, *, failed: bool | None) -> None:
        """End a turn.

        Args:
            address: As it entered.
            failed: Whether the address is a suspect from now on; None: as before.
        """
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
            turn = lane.popleft() if self._oldest_is_next else lane.pop()
            if lane:
                lanes[address] = lane
            if not turn.cancelled():
                self._suspects_are_next = not are_suspects
                self._oldest_is_next = not self._oldest_is_next
                turn.set_result(None)
                return
        self._is_taken = False


def client_of(remote: str | None) -> str:
    """Return what stands for a client: its address, or its network where it has a whole one."""
    try:
        address = ip_address((remote or "").partition("%")[0])
    except ValueError:
        return remote or ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return (int(address) >> _IPV6_NETWORK_BITS).to_bytes(8, "big").hex(":", 2)
