"""Users and passwords, and the queue that is fair to client addresses."""

import asyncio
import itertools
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress

import bcrypt
import pytest

from exporter.web.webconfig.users import (
    FEW,
    MOST_REMEMBERED,
    MOST_SUSPECTS,
    MOST_WAITING,
    BasicCredentials,
    FairQueue,
    PasswordChecks,
    QueueFullError,
    client_of,
    is_bcrypt_hash,
    read_authorization,
)
from tests.support.certificates import HASH, PASSWORD
from tests.support.monitored import until

USERS = {b"alice": HASH}


class Counting:
    """Counts what bcrypt is asked, and how much of it at the same time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[bytes] = []
        self.threads: set[int] = set()
        self.most_at_once = 0
        self._at_once = 0
        self._really = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self)

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self.asked.append(hashed)
        self.threads.add(threading.get_ident())
        right = self._really(password, hashed)
        self._at_once -= 1
        return right


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """What bcrypt is asked."""
    return Counting(monkeypatch)


async def admits(
    checks: PasswordChecks, name: str, password: str, users: Mapping[bytes, str] = USERS, client: str = "192.0.2.1"
) -> bool:
    """Ask for someone."""
    return await checks.admits(users, BasicCredentials(name.encode(), password.encode()), client)


def hashed(password: bytes, cost: int = 4) -> str:
    """Return a hash of a password."""
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


LONG = {b"alice": hashed(b"a" * 72)}
VERSIONS = [f"${version}{HASH[3:]}ignored" for version in ("2a", "2b", "2y", "2x", "1a", "2")]
FORMS = ["$2b$04$" + "!" * 53, "$2b$04$" + "ü" * 53, HASH[:59]]


@pytest.mark.parametrize(
    ("users", "name", "password", "is_let_in"),
    [
        (USERS, "alice", PASSWORD, True),
        *((USERS, "alice", password, False) for password in (PASSWORD + "x", "")),
        *((USERS, name, PASSWORD, False) for name in ("Alice", "bob")),
        *((LONG, "alice", "a" * 72 + more, True) for more in ("", "b" * 1000)),
        (LONG, "alice", "a" * 71, False),
        *(({b"alice": one}, "alice", PASSWORD, True) for one in VERSIONS),
        *(({b"alice": one}, "alice", "wrong", False) for one in VERSIONS),
        *(({b"alice": one}, "alice", PASSWORD, False) for one in FORMS),
    ],
)
async def test_only_the_right_password_is_let_in(
    users: Mapping[bytes, str], name: str, password: str, *, is_let_in: bool
) -> None:
    """As in Go, 72 bytes count, and every version is computed alike; what has only the form of a hash fits nothing."""
    assert await admits(PasswordChecks(b"secret"), name, password, users) is is_let_in


async def test_a_password_is_checked_once(counting: Counting) -> None:
    """What was right before costs nothing; a wrong one costs once for each client, which learns nothing of others.

    Both end with the hash.
    """
    checks = PasswordChecks(b"secret")
    for _ in range(3):
        assert await admits(checks, "alice", PASSWORD)
    assert len(counting.asked) == 1
    for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        assert not await admits(checks, "alice", "wrong", client=client)
    assert len(counting.asked) == 3
    assert await admits(checks, "alice", "wrong", {b"alice": hashed(b"wrong")})
    assert not await admits(checks, "alice", PASSWORD, {b"alice": hashed(b"another")})
    assert not await admits(checks, "alice", PASSWORD, {b"bob": HASH})


async def test_a_name_that_is_none_costs_as_much_as_the_costliest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody learns by the time which names there are; the name is not right even if a password should fit."""
    asked: list[bytes] = []

    def fits(_password: bytes, against: bytes) -> bool:
        asked.append(against)
        return True

    monkeypatch.setattr(bcrypt, "checkpw", fits)
    users = {b"alice": HASH, b"bob": hashed(b"x", cost=5)}
    checks = PasswordChecks(b"secret")
    for _ in range(2):
        assert not await admits(checks, "nobody", "x", users)
    assert [against[:7] for against in asked] == [b"$2b$05$"]


async def test_one_check_at_a_time_and_none_on_the_event_loop(counting: Counting) -> None:
    """Many clients at once wait in line for one thread, and the loop is free; equal requests share one check."""
    checks = PasswordChecks(b"secret")
    assert all(await asyncio.gather(*(admits(checks, "alice", PASSWORD) for _ in range(8))))
    assert len(counting.asked) == 1
    answers = await asyncio.gather(*(admits(checks, "alice", f"wrong {number}") for number in range(8)))
    assert not any(answers)
    assert len(counting.asked) == 9
    assert counting.most_at_once == 1
    assert threading.get_ident() not in counting.threads


async def test_a_check_that_nobody_waits_for_is_still_the_only_one(counting: Counting) -> None:
    """A request that is cancelled does not let the next check begin before its own has ended."""
    checks = PasswordChecks(b"secret")
    users = {b"alice": hashed(b"x", cost=8)}
    for number in range(4):
        check = asyncio.create_task(admits(checks, "alice", f"wrong {number}", users))
        await asyncio.sleep(0.005)
        check.cancel()
    assert not await admits(checks, "alice", "wrong", users)
    assert counting.most_at_once == 1


@pytest.mark.parametrize(
    ("guessers", "are_at_one_address", "most_before"),
    [(10, True, 12), (25, True, 4 * 25), (60, True, 4 * MOST_WAITING), (60, False, 5)],
)
async def test_a_right_password_never_waits_behind_more_than_a_few(
    monkeypatch: pytest.MonkeyPatch, guessers: int, are_at_one_address: bool, most_before: int
) -> None:
    """Clients that guess without end delay the first request of another by a few checks, wherever it is from."""
    checked: list[bytes] = []

    def slow(password: bytes, _hashed: bytes) -> bool:
        checked.append(password)
        time.sleep(0.001)
        return password == b"right"

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    checks = PasswordChecks(b"secret")

    async def guess(client: int) -> None:
        address = "192.0.2.1" if are_at_one_address else f"192.0.2.{client}"
        for number in itertools.count():
            with suppress(QueueFullError):
                await admits(checks, "alice", f"{client} {number}", client=address)
            await asyncio.sleep(0.005)

    guesses = [asyncio.create_task(guess(client)) for client in range(1, guessers + 1)]
    await until(lambda: len(checked) > 2 * len(guesses))
    for number, password in enumerate(("not right", "right")):
        before = len(checked)
        address = "192.0.2.1" if are_at_one_address else f"198.51.100.{number}"
        assert await admits(checks, "alice", password, client=address) == (password == "right")
        assert checked.index(password.encode(), before) - before <= most_before
    for task in guesses:
        task.cancel()
    await asyncio.gather(*guesses, return_exceptions=True)


async def test_no_more_than_a_hundred_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not used for longest is forgotten."""
    monkeypatch.setattr(bcrypt, "checkpw", lambda _password, _hashed: True)
    checks = PasswordChecks(b"secret")
    users = {f"user{number}".encode(): HASH for number in range(MOST_REMEMBERED + 1)}
    for number in range(MOST_REMEMBERED):
        assert await admits(checks, f"user{number}", "x", users)
    assert await admits(checks, "user0", "x", users)
    assert await admits(checks, f"user{MOST_REMEMBERED}", "x", users)
    counting = Counting(monkeypatch)
    assert await admits(checks, "user0", "x", users)
    assert not counting.asked
    assert await admits(checks, "user1", "x", users)
    assert len(counting.asked) == 1


async def test_no_password_is_kept() -> None:
    """What is remembered is a digest by a secret key, in which no password can be looked up."""
    checks, others = PasswordChecks(b"secret"), PasswordChecks(b"another secret")
    await admits(checks, "alice", PASSWORD)
    await admits(others, "alice", PASSWORD)
    assert PASSWORD not in repr(vars(checks))
    assert not set(checks._right._items) & set(others._right._items)


def test_the_form_of_a_hash() -> None:
    """What the toolkit takes for a hash is one, and nothing else."""
    assert is_bcrypt_hash(HASH)
    others = ("", PASSWORD, HASH[:58], HASH.replace("$04", "$03"), HASH.replace("$04", "$32"), "$3" + HASH[2:])
    assert not any(map(is_bcrypt_hash, (*others, "ÿ" * 60)))


def basic(decoded: bytes) -> str:
    """Return what a client sends."""
    return "Basic " + b64encode(decoded).decode()


@pytest.mark.parametrize(
    ("header", "credentials"),
    [
        (basic(b"alice:wonder"), BasicCredentials(b"alice", b"wonder")),
        (basic(b"alice:a:b"), BasicCredentials(b"alice", b"a:b")),
        (basic(b":"), BasicCredentials(b"", b"")),
        (basic(b"\xff:\xfe"), BasicCredentials(b"\xff", b"\xfe")),
        (basic(b"alice:x").replace("Basic", "bAsIc"), BasicCredentials(b"alice", b"x")),
        (basic(b"alice"), None),
        ("", None),
        ("Basic", None),
        ("Basic ", None),
        ("Bearer YTpi", None),
        ("Basic YTp", None),
        ("Basic YT pi", None),
        ("Basic  YTpi", None),
        ("Basic ÿ", None),
    ],
)
def test_the_authorization_header_is_read_as_go_reads_it(header: str, credentials: BasicCredentials | None) -> None:
    """Only well-formed Basic credentials are credentials."""
    assert read_authorization(header) == credentials


class Line:
    """A queue that is taken until `finish`, the requests that wait in it, and the order in which they are let in."""

    def __init__(self) -> None:
        self.queue = FairQueue()
        self.served: list[str] = []
        self.refused: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def wait(self, *names: str, failed: bool | None) -> list[asyncio.Task[None]]:
        """Let requests `ADDRESS/…` wait that fail or not once they are in."""
        if not self._tasks:
            await self.queue.enter("first")
        tasks = [asyncio.create_task(self._request(name, failed=failed)) for name in names]
        self._tasks += tasks
        await asyncio.sleep(0)
        return tasks

    async def finish(self) -> list[str]:
        """Let all in; return the order."""
        self.queue.leave("first", failed=None)
        async with asyncio.timeout(60):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        served, self.served = self.served, []
        return served

    async def _request(self, name: str, *, failed: bool | None) -> None:
        address = name.partition("/")[0]
        try:
            await self.queue.enter(address)
        except QueueFullError:
            self.refused.append(name)
            return
        self.served.append(name)
        self.queue.leave(address, failed=failed)


@pytest.fixture
async def line() -> Line:
    """An empty line, in which `guesser-0` to `guesser-99` are suspects."""
    line = Line()
    await line.wait(*(f"guesser-{number}" for number in range(100)), failed=True)
    assert len(await line.finish()) == 100
    return line


async def test_suspects_take_turns(line: Line) -> None:
    """Nobody gains by sending more requests."""
    await line.wait("guesser-0/1", "guesser-0/2", "guesser-0/3", "guesser-1/1", "guesser-1/2", failed=None)
    assert [name.partition("/")[0][-1] for name in await line.finish()] == ["0", "1", "0", "1", "0"]


async def test_a_new_address_waits_for_few(line: Line) -> None:
    """Neither the number of suspects counts, nor that of addresses that came before."""
    await line.wait(*(f"guesser-{number}/{again}" for number in range(100) for again in range(9)), failed=True)
    await line.wait(*(f"new-{number}" for number in range(100)), failed=True)
    await line.wait("prometheus", failed=False)
    assert (await line.finish()).index("prometheus") <= 1


async def test_few_requests_of_one_address_keep_their_order_and_of_many_the_newest_is_often_next(line: Line) -> None:
    """A new one waits for few, or is often next, and an old one does not wait forever."""
    names = [f"guesser-0/{number}" for number in range(FEW + 5)]
    await line.wait(*names, failed=True)
    assert await line.finish() == [*names[:-4:-1], names[0], names[-4], *names[1:-4]]


async def test_who_becomes_a_suspect_waits_as_one(line: Line) -> None:
    """What an address has waiting counts by what is known of it then."""
    await line.wait("b", failed=False)
    await line.wait("a/1", "a/2", "a/3", failed=True)
    assert (await line.finish()).index("b") <= 2


async def test_one_address_has_only_so_many_waiting(line: Line) -> None:
    """The oldest of more are refused at once, and nobody else is."""
    await line.wait(*(f"a/{number}" for number in range(MOST_WAITING + 2)), "b", failed=True)
    assert len(await line.finish()) == MOST_WAITING + 1
    assert line.refused == ["a/0", "a/1"]


@pytest.mark.parametrize("when", ["while it waits", "when it was just let in"])
async def test_who_gives_up_hands_its_turn_on(line: Line, when: str) -> None:
    """A request that is cancelled holds up nobody and leaves nothing behind."""
    await line.wait("b", failed=True)
    (given_up,) = await line.wait("a", failed=True)
    if when == "when it was just let in":
        line.queue.leave("first", failed=None)
        given_up.cancel()
        await until(lambda: line.served)
        assert line.served == ["b"]
    else:
        given_up.cancel()
        await asyncio.sleep(0)
        assert await line.finish() == ["b"]
    await asyncio.wait_for(line.queue.enter("c"), 60)
    assert not line.queue._others
    assert not line.queue._suspected


async def test_suspects_are_forgotten_in_the_end() -> None:
    """What is remembered of addresses has a bound."""
    queue = FairQueue()
    for number in range(MOST_SUSPECTS + 10):
        await queue.enter(str(number))
        queue.leave(str(number), failed=True)
    assert len(queue._suspects) == MOST_SUSPECTS


@pytest.mark.parametrize(
    ("remote", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:0db8:0000:0000"),
        ("2001:db8::ffff:1:2", "2001:0db8:0000:0000"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("/run/socket", "/run/socket"),
        (None, ""),
    ],
)
def test_a_client_is_an_address_or_a_network_of_its_own(remote: str | None, client: str) -> None:
    """Nobody is many clients by choosing addresses of an IPv6 network."""
    assert client_of(remote) == client
