"""What a service may not do: act as root, write outside its volumes, or reach a service that it does not need."""

from __future__ import annotations

import json
import sys

from tests.containers.stack import Stack, run

STAYING = ("postgres", "mlflow", "head", "worker")
# what each must reach; a worker must reach nothing else, by name or by address
NEEDED = {"mlflow": {"postgres"}, "head": {"postgres", "mlflow"}, "worker": {"head"}}
PORTS = {"postgres": 5432, "mlflow": 5000, "head": 8265}
_REACHES = (
    "import socket, sys\n"
    "for place in sys.argv[2:]:\n"
    "    try:\n"
    "        socket.create_connection((place, int(sys.argv[1])), 3).close()\n"
    "        print(place)\n"
    "    except OSError:\n"
    "        pass\n"
)


def check_contained(stack: Stack) -> None:
    """All of it in the running stack, ending the process with a sentence at the first thing that does not hold."""
    for service in STAYING:
        for container in stack.containers(service):
            _without_rights(service, container)
    print("  no service is root, has a capability or can gain one, and none writes into its root folder")
    addresses = {name: _addresses(stack.containers(name)[0]) for name in PORTS}
    for service, needed in NEEDED.items():
        for other in needed if service != "worker" else PORTS:
            reached = _reached(stack.containers(service)[0], PORTS[other], [other, *addresses[other]])
            if (other in needed) != bool(reached):
                due = "must" if other in needed else "must not"
                sys.exit(f"{service} {due} reach {other}, but of its name and {addresses[other]} it reaches {reached}")
    routes = run("docker", "exec", stack.containers("postgres")[0], "cat", "/proc/net/route").stdout.splitlines()[1:]
    if not routes or any(int(route.split()[1], 16) == 0 for route in routes):
        sys.exit(f"PostgreSQL must have no way out of its network, got the routes {routes}")
    print("  a worker reaches the head, and neither PostgreSQL nor MLflow; PostgreSQL has no way out")


def _without_rights(service: str, container: str) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in run("docker", "exec", container, "cat", "/proc/1/status").stdout.splitlines()
        if ":\t" in line
    )
    rights = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    if any(rights.values()) or status["NoNewPrivs"] != "1" or "0" in status["Uid"].split():
        sys.exit(f"{service} must run as an ordinary user without capabilities, got {rights} and users {status['Uid']}")
    for place in ("/written", "/opt/written", "/usr/written", "/etc/written"):
        # as root, whom the image's own permissions do not stop
        done = run("docker", "exec", "--user=0", container, "touch", place, check=False)
        if done.returncode == 0 or "Read-only file system" not in done.stderr:
            sys.exit(f"{service}'s root folder must be read only, but touch {place} says: {done.stderr or 'done'}")


def _addresses(container: str) -> list[str]:
    networks = json.loads(run("docker", "inspect", "--format={{json .NetworkSettings.Networks}}", container).stdout)
    return [network["IPAddress"] for network in networks.values()]


def _reached(container: str, port: int, places: list[str]) -> list[str]:
    return run("docker", "exec", container, "python", "-c", _REACHES, str(port), *places).stdout.split()
