"""Whether a Ray dashboard of a fitting version answers at a URL, checked before Ray is imported."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request

from gradstab.errors import GradstabError
from gradstab.execution.cluster_address import enable_token_auth
from gradstab.system.proxies import is_page, proxy_setting, something_else_answers

_ANSWER_SECONDS = 10.0
_LOWEST_RAY, _BEYOND_RAY = (2, 50), (3,)


class ClusterError(GradstabError):
    """The cluster cannot be reached, refuses the request, or runs a Ray that does not fit."""


def require_dashboard(url: str) -> None:
    """Make sure that a fitting Ray dashboard answers at a URL.

    Where it asks for a token, Ray is told to send this machine's token, unless RAY_AUTH_MODE says otherwise. No other
    cluster is sent the token.

    Raises:
        ClusterError: nothing answers, something else does, the version does not fit, or there is no token to send.
    """
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=_ANSWER_SECONDS) as answer:
            content = answer.read()
            if is_page(content):
                raise ClusterError(something_else_answers(url, "Ray's dashboard", answer.status))
            version = json.loads(content)["ray_version"]
    except urllib.error.HTTPError as error:
        with error:
            page = is_page(error.read())
        if page:
            raise ClusterError(something_else_answers(url, "Ray's dashboard", error.code)) from None
        if error.code not in (401, 403):
            raise ClusterError(
                f"no Ray dashboard answers at {url}: what is there answers with HTTP status {error.code}. "
                "Check host and port"
            ) from None
        if not enable_token_auth():
            raise ClusterError(
                f"the cluster at {url} asks for a token, but none is set here: set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, a file)"
            ) from None
        return
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", error) if isinstance(error, OSError) else "another program answers there"
        if proxy := proxy_setting(url):
            reason = f"{reason} (through the proxy of {proxy})"
        raise ClusterError(
            f"no Ray dashboard answers at {url}: {reason}. Start the cluster with its dashboard "
            "(ray start --head, of ray[default]), or correct the address"
        ) from None
    if not _LOWEST_RAY <= tuple(int(part) for part in version.split(".")[:2]) < _BEYOND_RAY:
        raise ClusterError(f"the cluster at {url} must run Ray 2.50 or newer, below 3, got {version}")
