# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The calls of the Docker Engine's API that change something."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import Answer


class Writer(Engine):
    """An engine whose networks may change."""

    def create_network(
        self,
        name: str,
        driver: str,
        internal: bool,
        options: dict[str, str],
        labels: dict[str, str],
        attachable: bool = False,
        ipam: dict[str, Any] | None = None,
        enable_ipv4: bool | None = None,
        enable_ipv6: bool | None = None,
    ) -> str:
        """POST /networks/create; the new network's id. A second network of the same name is refused (HTTP 409).

        The SDK's own call says EnableIPv6 only where it is true, and never EnableIPv4: then the engine's defaults would
        decide (Engine 27 and newer).
        """
        body: dict[str, Any] = {
            "Name": name,
            "Driver": driver,
            "CheckDuplicate": True,
            "Internal": internal,
            "Options": options,
            "Labels": labels,
            "IPAM": ipam,
            "Attachable": attachable or None,
            "EnableIPv4": enable_ipv4,
            "EnableIPv6": enable_ipv6,
        }
        body = {key: value for key, value in body.items() if value is not None}
        return str(self._call(f"create network {name}", self._create, body)["Id"])

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        # Only POST by the SDK's own means goes over every kind of connection that it knows, and these have been in it
        # since its first release.
        url = self._api._url("/networks/create")
        answer: dict[str, Any] = self._api._result(self._api._post_json(url, data=body), json=True)
        return answer

    def remove_network(self, network_id: str, name: str) -> None:
        """DELETE /networks/{id}; ``name`` is for the message alone."""
        self._call(f"remove network {name}", self._api.remove_network, network_id)

    def connect(self, container_id: str, network: str, name: str, **settings: Any) -> None:
        """POST /networks/{id}/connect; ``settings`` are the SDK's words for the endpoint. HTTP 409 where it is on it."""
        connect = self._api.connect_container_to_network
        self._call(f"connect container {name}", connect, container_id, network, **settings)

    def disconnect(self, container_id: str, network: str, name: str) -> None:
        """POST /networks/{id}/disconnect."""
        disconnect = self._api.disconnect_container_from_network
        self._call(f"disconnect container {name}", disconnect, container_id, network)

    def update_service(self, service_id: str, version: int, spec: Answer) -> None:
        """POST /services/{id}/update with a whole spec, whose networks are those of the task template.

        A ``version`` that is not the live one is refused (recorded: HTTP 500, "update out of sequence").
        """
        self._call(
            f"update service {spec['Name']}",
            self._api.update_service,
            service_id,
            version,
            task_template=spec["TaskTemplate"],
            name=spec["Name"],
            labels=spec.get("Labels"),
            mode=spec.get("Mode"),
            update_config=spec.get("UpdateConfig"),
            rollback_config=spec.get("RollbackConfig"),
            endpoint_spec=spec.get("EndpointSpec"),
        )
