"""The server behind the page: each route does one thing to the store and answers in JSON or a file.

What is refused, and with which status: 400 what makes no sense, 403 who may not ask, 404 what is
not there, 405 a wrong method, 408 who is too slow, 409 what has to wait for a job, 413 too much,
421 another Host, 503 too many at once.
"""

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from dippas_jax.io import private
from dippas_jax.types import InputError
from dippas_jax.web import guard, jobs

PATIENCE = 10.0
"""Seconds until the head of a request must have come, and the next part of its body."""

_DIGITS = 9  # of a file's number
_SLOWEST = 2**16  # bytes a second of a body, over all of it
_HEAD_BYTES = 2**14
_WISHES_BYTES = 2**12
_AT_ONCE = 32  # connections; a browser opens six
_PAGES = Path(__file__).parent / "pages"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


# --------------------------------------------------------------------------------------- the routes


def app(store: jobs.Store, door: guard.Door, leave: Callable[[], None]) -> ASGIApp:
    """The application.

    Args:
      store: Of the files and the job.
      door: Its secrets.
      leave: Ends the server.
    """

    def page(name: str) -> Callable[[Request], Response]:
        def show(request: Request) -> Response:
            return FileResponse(_PAGES / name, media_type=_TYPES[Path(name).suffix])

        return show

    async def state(request: Request) -> Response:
        return JSONResponse(store.known())

    async def receive(request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in jobs.KINDS:
            raise HTTPException(404)
        _require_at_most(request, jobs.FILE_BYTES)
        with store.receive(kind, request.query_params.get("name", "")) as upload:
            async for data in _body(request, jobs.FILE_BYTES):
                await asyncio.to_thread(upload.write, data)
        return JSONResponse(upload.file.number, 201)

    def begin(job: Callable[[jobs.Wishes], None]) -> Callable[[Request], Awaitable[Response]]:
        async def route(request: Request) -> Response:
            _require_at_most(request, _WISHES_BYTES)
            data = b"".join([part async for part in _body(request, _WISHES_BYTES)])
            try:
                given = json.loads(data)
            except (ValueError, RecursionError):
                raise HTTPException(400, "the page sent what is not JSON") from None
            job(jobs.wishes(given))
            return JSONResponse(store.known(), 202)

        return route

    async def cancel(request: Request) -> Response:
        await store.cancel()
        return JSONResponse(store.known())

    async def clear(request: Request) -> Response:
        await store.clear()
        return JSONResponse(store.known())

    async def drop_camera(request: Request) -> Response:
        store.drop_camera()
        return JSONResponse(store.known())

    async def end(request: Request) -> Response:
        await store.clear()
        leave()
        return Response(status_code=204)

    async def result(request: Request) -> Response:
        return _download(store.result(_number(request, "number")))

    async def results(request: Request) -> Response:
        if not any(store.result(number) for number in store.photos):
            raise HTTPException(404)
        return _download(await asyncio.to_thread(store.results))

    async def report(request: Request) -> Response:
        return _download(store.folder / "results" / "report.html")

    async def camera(request: Request) -> Response:
        return _download(store.folder / "camera" / "camera.npz")

    async def part(request: Request) -> Response:
        number, index = (_number(request, name) for name in ("number", "index"))
        which = request.path_params["which"]
        path = store.folder / "parts" / str(number) / f"{index}-{which}.webp"
        if which not in ("before", "after", "change") or not path.exists():
            raise HTTPException(404)
        return FileResponse(path, media_type="image/webp")

    routes = {
        "": (page("index.html"), "GET"),
        "style.css": (page("style.css"), "GET"),
        "page.js": (page("page.js"), "GET"),
        "icon.svg": (page("icon.svg"), "GET"),
        "state": (state, "GET"),
        "files/{kind}": (receive, "POST"),
        "estimate": (begin(store.estimate), "POST"),
        "start": (begin(store.start), "POST"),
        "choose": (begin(store.choose), "POST"),
        "cancel": (cancel, "POST"),
        "clear": (clear, "POST"),
        "drop-camera": (drop_camera, "POST"),
        "end": (end, "POST"),
        "results/{number}": (result, "GET"),
        "results.zip": (results, "GET"),
        "report.html": (report, "GET"),
        "camera.npz": (camera, "GET"),
        "parts/{number}/{index}/{which}": (part, "GET"),
    }
    inner = Starlette(
        routes=[
            Route(f"/{door.place}/{path}", route, methods=[method])
            for path, (route, method) in routes.items()
        ],
        exception_handlers={
            jobs.BusyError: _answer(409),
            jobs.TooMuchError: _answer(413),
            InputError: _answer(400),
            TimeoutError: _answer(408),
            ClientDisconnect: _answer(400),
            OSError: _answer(507),
        },
    )
    inner.router.redirect_slashes = False
    return _guarded(inner, door)


def _answer(status: int) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        close = {"Connection": "close"}  # what is still to come of a body is not read
        return PlainTextResponse(str(error), status, headers=close)

    return answer


def _number(request: Request, name: str) -> int:
    """A number in a path, which nothing else may stand in the place of."""
    text = request.path_params[name]
    if len(text) > _DIGITS or not (text.isascii() and text.isdigit()):
        raise HTTPException(404)
    return int(text)


def _download(path: Path | None) -> Response:
    """A file that the browser saves and never shows."""
    if path is None or not path.exists():
        raise HTTPException(404)
    return FileResponse(path, filename=path.name)


def _require_at_most(request: Request, most: int) -> None:
    """`TooMuchError` where a request says that more is to come, before any of it is read."""
    if int(request.headers.get("content-length", 0)) > most:
        raise jobs.TooMuchError(f"this has more than {most} bytes")


async def _body(request: Request, most: int) -> AsyncIterator[bytes]:
    """The parts of a body as they come; `TimeoutError` of one that comes too slowly."""
    parts, count, started = request.stream(), 0, time.monotonic()
    while True:
        left = PATIENCE + count / _SLOWEST - (time.monotonic() - started)
        try:
            data = await asyncio.wait_for(anext(parts), max(left, 0.0))
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TimeoutError("the rest did not come in time") from None
        count += len(data)
        if count > most:
            raise jobs.TooMuchError(f"this has more than {most} bytes")
        yield data


def _guarded(inner: ASGIApp, door: guard.Door) -> ASGIApp:
    """An application behind the door; every answer has `guard.HEADERS`."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(k.lower().encode(), v.encode()) for k, v in guard.HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        request = Request(scope)
        answer = _entrance(request, door)
        if answer is None:
            refused = guard.refusal(door, request.method, request.headers, request.cookies)
            if refused:
                answer = PlainTextResponse(refused[1], refused[0], headers={"Connection": "close"})
        await (answer or inner)(scope, receive, with_headers)

    return guarded


def _entrance(request: Request, door: guard.Door) -> Response | None:
    """The answer to the link with the key: the cookie; None of any other request."""
    if request.url.path != "/" or request.method != "GET":
        return None
    if guard.wrong_host(door, request.headers):
        return None
    place = f"/{door.place}/"
    if guard.take_key(door, request.query_params.get("key", "")):
        answer = RedirectResponse(place, 303)
        answer.set_cookie(guard.COOKIE, door.cookie, path=place, httponly=True, samesite="strict")
        return answer
    return PlainTextResponse("this link was used already; start dippas web again", 403)


# --------------------------------------------------------------------------------------- the server


class _Impatient(H11Protocol):
    """Uvicorn's HTTP, which ends a connection whose next request does not come in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._at_work():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._at_work():  # a request may have come together with the last one
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(PATIENCE, self._late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _late(self) -> None:
        begun = self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]
        if begun and not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
        self.transport.close()


def serve(
    program: jobs.Program, *, port: int = 0, ready: Callable[[str], None], at_once: int = _AT_ONCE
) -> None:
    """Serves the page until it is told to end, or interrupted; nothing is left on disk.

    Args:
      program: That does the work.
      port: Of 127.0.0.1; 0 for a free one.
      ready: Called with the link as soon as it can be opened.
      at_once: Connections, at most.

    Raises:
      InputError: The port cannot be had.
    """
    with private.folder() as folder, _listening(port) as listener:
        door = guard.new(listener.getsockname()[1])
        store = jobs.Store(folder, program)

        def leave() -> None:
            server.should_exit = True

        server = uvicorn.Server(
            uvicorn.Config(
                app(store, door, leave),
                http=_Impatient,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                log_level="critical",  # what others send is their fault, and answered
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=at_once,
                h11_max_incomplete_event_size=_HEAD_BYTES,
                timeout_graceful_shutdown=2,
            )
        )
        with contextlib.suppress(KeyboardInterrupt), _ended_by_signals():
            asyncio.run(_until_the_end(server, listener, store, lambda: ready(door.url)))


async def _until_the_end(
    server: uvicorn.Server, listener: socket.socket, store: jobs.Store, ready: Callable[[], None]
) -> None:
    asyncio.get_running_loop().call_soon(ready)  # the socket already takes connections
    try:
        await server.serve(sockets=[listener])
    finally:
        await store.clear()


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}); leave out --port for a free one"
            ) from None
        yield listener


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """What asks a program to end is an interrupt, behind which the folder is removed."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    try:
        before = {name: signal.signal(getattr(signal, name), _interrupt) for name in names}
    except ValueError:  # not in the main thread, which alone meets signals
        yield
        return
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
