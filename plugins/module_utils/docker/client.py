# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Docker Engine's API: the one place that imports the Docker SDK for Python.

Everything here returns the engine's answers as they are; what they mean is the business of ``model``.
Tried with SDK 5.0.3 on Engine 20.10 (Debian 12) and SDK 7.1 on Engine 26.1 (Debian 13).
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ansible.module_utils.basic import AnsibleFallbackNotFound, env_fallback, missing_required_lib

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError, Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import Answer

try:
    from requests.exceptions import RequestException

    from docker import APIClient
    from docker.errors import APIError, DockerException
    from docker.tls import TLSConfig

    SDK_TRACEBACK = None
except ImportError:
    SDK_TRACEBACK = traceback.format_exc()


def certificate_fallback(filename: str) -> str:
    """The named file in the directory $DOCKER_CERT_PATH, as the docker command looks for it."""
    directory = os.environ.get("DOCKER_CERT_PATH")
    if not directory:
        raise AnsibleFallbackNotFound
    return os.path.join(directory, filename)


CONNECTION_ARGUMENTS: dict[str, Any] = {
    "docker_host": {
        "type": "str",
        "default": "unix:///var/run/docker.sock",
        "aliases": ["docker_url"],
        "fallback": (env_fallback, ["DOCKER_HOST"]),
    },
    "tls": {"type": "bool", "default": False, "fallback": (env_fallback, ["DOCKER_TLS"])},
    "validate_certs": {
        "type": "bool",
        "default": False,
        "aliases": ["tls_verify"],
        "fallback": (env_fallback, ["DOCKER_TLS_VERIFY"]),
    },
    "ca_path": {
        "type": "path",
        "aliases": ["ca_cert", "tls_ca_cert", "cacert_path"],
        "fallback": (certificate_fallback, ["ca.pem"]),
    },
    "client_cert": {
        "type": "path",
        "aliases": ["tls_client_cert", "cert_path"],
        "fallback": (certificate_fallback, ["cert.pem"]),
    },
    "client_key": {
        "type": "path",
        "aliases": ["tls_client_key", "key_path"],
        "fallback": (certificate_fallback, ["key.pem"]),
    },
    "api_version": {
        "type": "str",
        "default": "auto",
        "aliases": ["docker_api_version"],
        "fallback": (env_fallback, ["DOCKER_API_VERSION"]),
    },
    "timeout": {"type": "int", "default": 60, "fallback": (env_fallback, ["DOCKER_TIMEOUT"])},
    "use_ssh_client": {"type": "bool", "default": False},
}
CONNECTION_TOGETHER = [["client_cert", "client_key"]]
_Kind = TypeVar("_Kind", bound="Engine")


class SdkMissing(Failure):
    """The Docker SDK for Python is not on the host that runs the module."""

    def __init__(self, import_traceback: str) -> None:
        super().__init__(missing_required_lib("docker (Debian: python3-docker)"))
        self.import_traceback = import_traceback

    def report(self) -> dict[str, Any]:
        return {"msg": str(self), "exception": self.import_traceback}


class EngineAbsent(EngineError):
    """There is no socket where the engine's should be."""


def connect(params: dict[str, Any]) -> Engine:
    """The engine that the connection options name, to be read."""
    return connect_as(Engine, params)


def connect_as(kind: type[_Kind], params: dict[str, Any]) -> _Kind:
    """Open the engine that the connection options name; asks for its API version, so that a dead engine shows here."""
    if SDK_TRACEBACK:
        raise SdkMissing(SDK_TRACEBACK)
    url = params["docker_host"]
    if url.startswith("unix://") and not os.path.exists(url[len("unix://") :]):
        text = f"The Docker Engine at {url} did not answer (connect): there is no such socket. Check that it runs: "
        raise EngineAbsent(text + "systemctl status docker")
    with engine_errors(url, "connect"):
        return kind(url, APIClient(**_sdk_arguments(params)))


def _sdk_arguments(params: dict[str, Any]) -> dict[str, Any]:
    """The SDK's keyword arguments for the connection options."""
    arguments: dict[str, Any] = {
        "base_url": params["docker_host"],
        "version": params["api_version"],
        "timeout": params["timeout"],
    }
    if params["use_ssh_client"]:
        arguments["use_ssh_client"] = True
    if params["tls"] or params["validate_certs"]:
        # The SDK speaks TLS only to https://, while DOCKER_HOST is written as tcp:// by convention.
        arguments["base_url"] = params["docker_host"].replace("tcp://", "https://", 1)
        pair = (params["client_cert"], params["client_key"]) if params["client_cert"] else None
        arguments["tls"] = TLSConfig(client_cert=pair, ca_cert=params["ca_path"], verify=params["validate_certs"])
    return arguments


@contextmanager
def engine_errors(url: str, doing: str) -> Iterator[None]:
    """Turn whatever the SDK raises into an EngineError that says which engine was asked to do what."""
    try:
        yield
    except APIError as error:
        detail = str(error.explanation or error)
        status = error.response.status_code if error.response is not None else None
        raise EngineError(
            f"The Docker Engine at {url} refused to {doing}: {detail} (HTTP {status})", status, detail
        ) from error
    # SDK 5 lets the OSError of a missing socket through, where SDK 7 wraps it.
    except (DockerException, RequestException, OSError) as error:
        raise EngineError(
            f"The Docker Engine at {url} did not answer ({doing}): {error}. Check that it runs: "
            "systemctl status docker",
            None,
            str(error),
        ) from error


class Engine:
    """One Docker Engine, to be read: every method is one call of its API; what changes something is in ``writer``.

    A network is named by its full id: the engine takes any other word for a name *or the beginning of an id*
    (seen on 20.10: ``b3`` was answered with the network whose id began with b3), so that a removal by name could
    hit another network. The one exception are stopped containers, see ``move.Mover``.
    """

    def __init__(self, url: str, api: APIClient) -> None:
        self.url = url
        self._api = api

    def info(self) -> Answer:
        """GET /info; its ``Swarm`` key tells what kind of node this is."""
        return self._call("describe itself", self._api.info)

    def networks(self) -> list[Answer]:
        """GET /networks: all that a comparison needs; ``Containers`` is not filled in here."""
        return self._call("list networks", self._api.networks)

    def containers(self) -> list[Answer]:
        """GET /containers/json?all=1: running, stopped and never started ones, with their networks."""
        return self._call("list containers", self._api.containers, all=True)

    def container(self, container_id: str) -> Answer:
        """GET /containers/{id}/json."""
        return self._call(f"show container {container_id[:12]}", self._api.inspect_container, container_id)

    def services(self) -> list[Answer]:
        """GET /services (managers only)."""
        return self._call("list services", self._api.services)

    def service(self, service_id: str) -> Answer:
        """GET /services/{id} (managers only), without the engine's defaults: it can be written back as it is."""
        return self._call(f"show service {service_id}", self._api.inspect_service, service_id)

    def tasks(self) -> list[Answer]:
        """GET /tasks (managers only); containers that were attached by hand have none here."""
        return self._call("list tasks", self._api.tasks)

    def tasks_of(self, service_id: str) -> list[Answer]:
        """GET /tasks of one service."""
        return self._call("list tasks", self._api.tasks, filters={"service": service_id})

    def attachments(self) -> list[Answer]:
        """GET /tasks of the runtime "attachment" (managers only): the swarm's containers that were attached by hand,
        whatever node they are on. Tried on 20.10 and 26.1."""
        return self._call("list attachments", self._api.tasks, filters={"runtime": ["attachment"]})

    def nodes(self) -> list[Answer]:
        """GET /nodes (managers only)."""
        return self._call("list nodes", self._api.nodes)

    def _call(self, doing: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with engine_errors(self.url, doing):
            return function(*args, **kwargs)
