"""Who may ask the page for something: the browser that opened the link, and nobody else.

Any site that the browser shows can send requests to this machine, and names of its own can be made
to point here. So a request needs the right Host; a cookie that the one-time key was exchanged for;
and, if it changes something, an Origin that is the page itself.
"""

import hmac
import secrets
from collections.abc import Mapping
from typing import NamedTuple

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer: nothing from elsewhere is loaded, and the browser keeps nothing on disk."""

COOKIE = "dippas"
SAFE = ("GET", "HEAD")


class Door(NamedTuple):
    """The secrets of one start of the program.

    Attributes:
      port: That it listens on.
      place: First part of every path. Cookies are sent to all ports of a machine, but only below
        their path, so that servers beside this one do not see its cookie.
      cookie: Value of the cookie.
      keys: The key of the link, until it is used.
    """

    port: int
    place: str
    cookie: str
    keys: set[str]

    @property
    def url(self) -> str:
        """The link, with the key that can be used once."""
        return f"http://127.0.0.1:{self.port}/?key={next(iter(self.keys), '')}"


def new(port: int) -> Door:
    """A door with fresh secrets."""
    place, cookie, key = (secrets.token_urlsafe(24) for _ in range(3))
    return Door(port, place, cookie, {key})


def refusal(
    door: Door, method: str, headers: Mapping[str, str], cookies: Mapping[str, str]
) -> tuple[int, str] | None:
    """Status and reason why a request is turned away; None if it may come in.

    Args:
      door: The secrets.
      method: Of the request.
      headers: By lower-case names.
      cookies: By name.
    """
    if elsewhere := wrong_host(door, headers):
        return elsewhere
    if not _same(cookies.get(COOKIE, ""), door.cookie):
        return 403, "open the link that dippas web has printed"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return 403, "another site asked for this"
    if method not in SAFE and headers.get("origin") != f"http://{headers['host']}":
        return 403, "another site asked for this, or none that says its name"
    return None


def wrong_host(door: Door, headers: Mapping[str, str]) -> tuple[int, str] | None:
    """Status and reason where the request is meant for another server; None if it is for this."""
    if headers.get("host") in (f"127.0.0.1:{door.port}", f"localhost:{door.port}"):
        return None
    return 421, "this server answers to 127.0.0.1 and localhost alone"


def take_key(door: Door, key: str) -> bool:
    """Whether the key is right; it is used up if so."""
    known = next(iter(door.keys), "")
    right = bool(known) and _same(key, known)
    if right:
        door.keys.clear()
    return right


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
