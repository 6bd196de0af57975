"""HTTP proxies of the environment: none is used for loopback, and a page that one sends is no server's answer."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PAGE = re.compile(r"<(?:!doctype|html|head|body)\b.*", re.IGNORECASE | re.DOTALL)


def spare_loopback() -> None:
    """Have this process and its children call this machine directly, whatever proxy the environment names.

    A proxy cannot reach the loopback address of another machine. Both spellings of ``no_proxy`` are set, because
    libraries read one of them only.
    """
    named = {name.lower() for name, value in os.environ.items() if value}
    if not any(name.endswith("_proxy") for name in named - {"no_proxy"}):
        return
    given = [os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY")]
    spared = dict.fromkeys(host for text in given for host in map(str.strip, text.split(",")) if host)
    if "*" in spared:
        return
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join({**spared, **dict.fromkeys(LOOPBACK)})


def proxy_setting(url: str) -> str:
    """The variable by which requests to a URL go through a proxy, such as ``http_proxy``; "" where they go directly."""
    import urllib.request  # here, because it takes longer to import than `gradstab --help` to run

    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
    except ValueError:
        return ""
    if not host or urllib.request.proxy_bypass(host):
        return ""
    named = urllib.request.getproxies_environment()
    return next((f"{kind}_proxy" for kind in (scheme, "all") if named.get(kind)), "")


def something_else_answers(url: str, wanted: str, status: int) -> str:
    """The sentence for a web page where a program was asked: what answers, and why that may be.

    Args:
        wanted: what should answer, such as ``MLflow``.
        status: HTTP status of the page.
    """
    proxy = proxy_setting(url)
    advice = (
        f"The variable {proxy} sends requests through a proxy: add the server's host to no_proxy, or correct the "
        "address"
        if proxy
        else "Correct the address, or log in where a gateway asks for it"
    )
    return f"something else than {wanted} answers at {url}, with a web page (HTTP status {status}). {advice}"


def is_page(body: bytes) -> bool:
    """Whether an answer is a web page, which no programming interface sends."""
    return _PAGE.match(body[:200].decode(errors="replace").lstrip()) is not None


def without_pages(text: str) -> str:
    """A text with the web page in it, from its first tag to the end, replaced by words."""
    return _PAGE.sub("a web page came back, as a proxy or gateway sends it", text)
