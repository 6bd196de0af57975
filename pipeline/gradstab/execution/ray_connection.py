"""Connecting to Ray: settings made before Ray is imported, and corrections of what Ray does to a process.

Every module of this package that imports Ray at its top imports this one first.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Ray sends usage statistics to its makers by default. A user who has set the variable keeps that choice.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# By default Ray runs its workers at niceness 15, below every other process of the machine, the shipper included.
os.environ.setdefault("RAY_worker_niceness", "0")
# Ray reads this when it is imported. Without it, Ray prints the death of a worker, which PackResult reports, on stdout.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

import ray
from ray._common.utils import get_default_ray_temp_dir
from ray._private import node, ray_constants
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.exceptions import RayError

from gradstab.errors import GradstabError
from gradstab.execution.cluster_address import require_reachable
from gradstab.execution.slot_request import SlotRequest
from gradstab.system.cores import allowed_cores
from gradstab.system.home import can_hold
from gradstab.system.proxies import spare_loopback

_OBJECT_STORE_BYTES = 512 * 2**20  # room for the results of a few packs; Ray would reserve 30 % of the machine
_SOCKET_BYTES = len("/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
_MOST_SOCKET_BYTES = 103
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
_RECONNECT = "RAY_gcs_rpc_server_reconnect_timeout_s"
_RECONNECT_SECONDS = 600  # until Ray ends a process that waits for a dead head: enough to end it ourselves


class ExecutionError(GradstabError):
    """The run got no worker."""


def connect(address: str | None, request: SlotRequest) -> str:
    """Join the Ray cluster at an address, or start Ray in this process where it is None.

    Returns:
        The URL of the cluster's dashboard, or "" where there is none.

    Raises:
        ExecutionError: the cluster cannot be reached, or refuses the connection.
    """
    spare_loopback()
    with own_signal_handlers():
        return _start(request) if address is None else _join(address)


def _join(address: str) -> str:
    options = _quiet()
    if RAY_JOB_CONFIG_JSON_ENV_VAR not in os.environ:  # else this is a submitted job, which brought the package along
        options["runtime_env"] = {"py_modules": [str(Path(__file__).parent.parent)], "excludes": ["__pycache__"]}
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")  # else Ray prints a line for every refused attempt
    try:
        require_reachable(address)
        with _patient_reconnect():
            joined = ray.init(address=address, **options)
    except (ConnectionError, OSError, RayError, RuntimeError, ValueError) as error:
        raise ExecutionError(_refusal(address, error)) from None
    return f"http://{joined.dashboard_url}" if joined.dashboard_url else ""


def _start(request: SlotRequest) -> str:
    try:
        with _loopback_only(), _essential_processes_only(), _token_without_home():
            ray.init(
                address="local",  # never the cluster that RAY_ADDRESS may name
                num_cpus=allowed_cores().count if request.slots is None else request.slots,
                _temp_dir=_short_folder(),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                **_quiet(),
            )
    except Exception as error:  # Ray raises bare ones too, such as where one of its processes does not come up
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ExecutionError(
            f"Ray does not start on this machine: {reason}. Free memory and disk space, or run with --engine serial"
        ) from None
    return ""


def _short_folder() -> str | None:
    """A folder for Ray's files where its own would have too long a name for its sockets; None where that one fits.

    The kernel takes 107 bytes for the path of a socket, 103 on macOS, and Ray adds some 65 to its folder's.

    Raises:
        ExecutionError: no folder with a short name can be written.
    """
    usual: str = get_default_ray_temp_dir()  # type: ignore[no-untyped-call]
    if len(os.fsencode(usual)) + _SOCKET_BYTES <= _MOST_SOCKET_BYTES:
        return None
    for place in _SHORT_PLACES:
        try:
            folder = tempfile.mkdtemp(prefix="gradstab-", dir=place)
        except OSError:
            continue
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder
    raise ExecutionError(
        f"Ray needs a folder with a short name for its sockets, but TMPDIR is {tempfile.gettempdir()}, and none of "
        f"{', '.join(_SHORT_PLACES)} can be written: set TMPDIR to a shorter path, or run with --engine serial"
    )


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": "error"}


def _refusal(address: str, error: Exception) -> str:
    """One sentence on why a cluster did not accept the connection."""
    text = str(error)
    if "no authentication token was found" in text:
        return (
            f"the Ray cluster at {address!r} asks for a token, but none is set: set RAY_AUTH_TOKEN, or "
            "RAY_AUTH_TOKEN_PATH to a file that holds it"
        )
    if isinstance(error, ConnectionError) and "Failed to connect to Ray" in text:  # Ray says that of a wrong token too
        return (
            f"{address!r} is reachable but Ray refused the connection: check the token (RAY_AUTH_MODE=token and "
            f"RAY_AUTH_TOKEN) and that the cluster runs the Ray version of this machine, {ray.__version__}"
        )
    reason = " ".join(text.partition(" Note: ")[0].split())[:300] or type(error).__name__
    return (
        f"no Ray cluster answers at {address!r}: {reason}. Start the cluster, or leave the address out to use this "
        "machine"
    )


@contextmanager
def own_signal_handlers() -> Iterator[None]:
    """Put this process's signal handlers back afterwards: Ray sets its own, which end the process on SIGTERM."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: the handler was not set from Python
                signal.signal(number, handler)


@contextmanager
def _patient_reconnect() -> Iterator[None]:
    """Ray joined within does not end this process a minute after the head died: `Cluster` notices that first.

    The setting goes away afterwards, so that processes started later, Ray's own among them, do end without a head.
    """
    if _RECONNECT in os.environ:
        yield
        return
    os.environ[_RECONNECT] = str(_RECONNECT_SECONDS)
    try:
        yield
    finally:
        del os.environ[_RECONNECT]


class _LeanNode(node.Node):
    """The head of a Ray that one run has for itself, without the processes that serve an autoscaler or a browser.

    They cost seconds of start-up: Ray waits for its dashboard's process even where it is to show no dashboard. Ray has
    no option for them. A method that a later Ray renames is not overridden, and its process starts as before.
    """

    def start_monitor(self) -> None:
        """No autoscaler: one machine has what it has."""

    def start_log_monitor(self) -> None:
        """Nobody reads the logs of workers from here: see `_quiet`."""

    def start_api_server(self, **_: object) -> None:
        """No dashboard."""
        self._webui_url = ""


@contextmanager
def _essential_processes_only() -> Iterator[None]:
    """Ray started within makes a `_LeanNode`."""
    node.Node, ordinary = _LeanNode, node.Node  # type: ignore[misc]
    try:
        yield
    finally:
        node.Node = ordinary  # type: ignore[misc]


@contextmanager
def _token_without_home() -> Iterator[None]:
    """Ray started within has a token of its own where it could not write one below HOME.

    Ray's processes inherit the variable, and this process remembers the token. Afterwards the variable is gone, so that
    no other cluster is sent this token.
    """
    known = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if known or can_hold(".ray/auth_token"):
        yield
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex()
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN"]


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Ray started within listens on 127.0.0.1 alone; on Linux it would serve the whole network.

    Ray sets the same switch itself on macOS and Windows. Its processes read the variable; this process reads the
    constant that Ray made from it when it was imported.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        del os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR]
