"""A TCP proxy on loopback: what a network, or a server that dies, does to a connection."""

import asyncio
import random
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_STRETCH = 64 * 1024
_TICK = 0.02
_TURNS = 10
"""Of the loop, within which what was taken just before the port was closed turns up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The port refuses, and what was open is reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Connections are taken, and nothing passes in either direction. Those that waited are reset at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Answers pass at `rate` bytes a second on each connection."""

    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Of an answer longer than `after` bytes no more than those pass; then the connection is reset, or just ends.

    With 0 the client is left in doubt: its request was passed on whole and answered, and it never learns how.
    """

    after: int
    reset: bool = True
    share: float = 1.0


Mode = Absent | Hang | Slow | Broken


class Proxy:
    """Listens while it is open. Its port is its own for as long, also while it refuses."""

    def __init__(self, upstream: tuple[str, int], *, seed: int = 0) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._place = _socket(0)  # bound, and never listening: nobody else gets the port
        self.port: int = self._place.getsockname()[1]
        self._trouble: ProxyTrouble | None = None
        self._switched = asyncio.Event()
        self._listening: asyncio.Server | None = None
        self._lines: dict[asyncio.Task[None], asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._do(self._listen())

    @property
    def address(self) -> str:
        """`host:port`"""
        return f"127.0.0.1:{self.port}"

    def trouble(self, mode: Mode) -> "ProxyTrouble":
        """One at a time: whichever is started last counts."""
        return ProxyTrouble(proxy=self, mode=mode)

    def begins(self, trouble: "ProxyTrouble") -> None:
        if self._trouble is not trouble:
            self._do(self._switch(trouble))

    def ends(self, trouble: "ProxyTrouble") -> None:
        """Back to passing everything on, if this trouble is the one that counts."""
        if self._trouble is trouble:
            self._do(self._switch(None))

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._place.close()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- in the loop's thread ---

    def _do(self, act: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(act, self._loop).result(30)

    async def _switch(self, trouble: "ProxyTrouble | None") -> None:
        self._trouble = trouble
        self._switched.set()
        self._switched = asyncio.Event()
        if trouble is not None and isinstance(trouble.mode, Absent):
            trouble.happened += 1
            await self._close()
        elif self._listening is None:
            await self._listen()

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(self._serve, sock=_socket(self.port), backlog=512)

    async def _close(self) -> None:
        listening, self._listening = self._listening, None
        for one in listening.sockets if listening else ():
            self._loop.remove_reader(one.fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if listening:  # not before: asyncio forgets, and never closes, what it took and could not hand over
            listening.close()
        for talk in self._lines.values():
            talk.cancel()
        await asyncio.gather(*self._lines)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Only the talk is ever cancelled, never the clearing away after it."""
        line, opened = asyncio.current_task(), [writer]
        assert line is not None
        self._lines[line] = asyncio.ensure_future(self._talk(reader, opened))
        await asyncio.wait([self._lines[line]])
        for one in opened:
            _end(one)
        for one in opened:
            with suppress(OSError):
                await one.wait_closed()
        del self._lines[line]

    async def _talk(self, reader: asyncio.StreamReader, opened: list[asyncio.StreamWriter]) -> None:
        """Adds what it opens. What it leaves open is reset."""
        client = opened[0]
        if self._listening is None:  # it knocked just before the port was closed
            return
        with suppress(OSError):
            above = await asyncio.open_connection(*self._upstream)
            opened.append(above[1])
            if await self._pass(_Talk(client=(reader, client), server=above)):
                await client.drain()
                client.close()

    async def _pass(self, talk: "_Talk") -> bool:
        """Until one side ends. Was it an orderly end that the client is to see as one?"""
        directions = [asyncio.ensure_future(self._up(talk)), asyncio.ensure_future(self._down(talk))]
        try:
            done, _ = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            return all(one.result() for one in done)
        finally:
            for one in directions:
                one.cancel()
            await asyncio.gather(*directions, return_exceptions=True)

    async def _up(self, talk: "_Talk") -> bool:
        while chunk := await talk.client[0].read(_STRETCH):
            if await self._hung():
                return False
            talk.begin_answer()
            talk.server[1].write(chunk)
            await talk.server[1].drain()
        return True

    async def _down(self, talk: "_Talk") -> bool:
        while chunk := await talk.server[0].read(_STRETCH):
            if await self._hung():
                return False
            match self._trouble:
                case ProxyTrouble(mode=Slow(rate=rate)) as trouble:
                    trouble.happened += talk.is_new
                    await self._trickle(talk, chunk, rate, trouble)
                case ProxyTrouble(mode=Broken() as broken) as trouble if self._meets(talk, broken, len(chunk)):
                    trouble.happened += 1
                    await talk.answer(chunk[: broken.after - talk.answered])
                    return not broken.reset
                case _:
                    await talk.answer(chunk)
        return True

    async def _hung(self) -> bool:
        """Waits where everything hangs. Was that so?"""
        trouble = self._trouble
        if trouble is None or not isinstance(trouble.mode, Hang):
            return False
        trouble.happened += 1
        await self._switched.wait()
        return True

    async def _trickle(self, talk: "_Talk", chunk: bytes, rate: int, trouble: "ProxyTrouble") -> None:
        trouble.passing.append(talk)
        try:
            await self._drop_by_drop(talk, chunk, rate, trouble)
        except (OSError, asyncio.CancelledError):
            trouble.left.append(talk.answered)
            raise
        finally:
            trouble.passing.remove(talk)

    async def _drop_by_drop(self, talk: "_Talk", chunk: bytes, rate: int, trouble: "ProxyTrouble") -> None:
        step = max(int(rate * _TICK), 1)
        while chunk:
            if self._trouble is not trouble:
                step = len(chunk)
            await talk.answer(chunk[:step])
            chunk = chunk[step:]
            with suppress(TimeoutError):
                await asyncio.wait_for(self._switched.wait(), step / rate if chunk else 0.0)

    def _meets(self, talk: "_Talk", broken: Broken, size: int) -> bool:
        """Is this the stretch of an answer in which it breaks? Whether it does is drawn once for each answer."""
        if talk.doomed is None:
            talk.doomed = self._random.random() < broken.share
        return talk.doomed and not talk.greeting and talk.answered + size > broken.after


@dataclass(slots=True, kw_only=True, eq=False)
class _Talk:
    """A connection through the proxy, and how far the answer to the last request has come."""

    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    answered: int = 0
    greeting: bool = True
    doomed: bool | None = None

    def __post_init__(self) -> None:
        self.client[1].transport.set_write_buffer_limits(0)  # so that `drain` waits until all of it has left

    @property
    def is_new(self) -> bool:
        return self.answered == 0

    def begin_answer(self) -> None:
        self.answered, self.greeting, self.doomed = 0, False, None

    async def answer(self, chunk: bytes) -> None:
        self.answered += len(chunk)
        self.client[1].write(chunk)
        await self.client[1].drain()


@dataclass(kw_only=True)
class ProxyTrouble:
    """See `Trouble`. Of slow answers `passing` are those that trickle now; `left` says of those whose reader went away
    before the end how many bytes had passed."""

    proxy: Proxy
    mode: Mode
    happened: int = 0
    passing: list[_Talk] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = type(self.mode).__name__.lower()

    def start(self) -> None:
        self.proxy.begins(self)

    def stop(self) -> None:
        self.proxy.ends(self)


def _socket(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def _end(writer: asyncio.StreamWriter) -> None:
    """With a RST, unless it was closed in order before."""
    end = writer.get_extra_info("socket")
    if not writer.is_closing() and end is not None:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
