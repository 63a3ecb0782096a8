"""How the connection options and the environment reach the SDK."""

from __future__ import annotations

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import client
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError


def sdk_arguments(monkeypatch, environment=None, **arguments):
    """What the SDK's APIClient and TLSConfig are called with."""
    for name in (
        "DOCKER_HOST",
        "DOCKER_TLS",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
        "DOCKER_API_VERSION",
        "DOCKER_TIMEOUT",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environment or {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(client, "APIClient", lambda **kwargs: kwargs)
    monkeypatch.setattr(client, "TLSConfig", lambda **kwargs: kwargs)
    with patch_module_args(arguments):
        params = AnsibleModule(client.CONNECTION_ARGUMENTS, required_together=client.CONNECTION_TOGETHER).params
    return client.connect(params)._api


def test_the_local_socket_is_the_default(monkeypatch):
    monkeypatch.setattr(client.os.path, "exists", lambda path: True)
    assert sdk_arguments(monkeypatch) == {"base_url": "unix:///var/run/docker.sock", "version": "auto", "timeout": 60}


def test_the_environment_counts_where_an_option_is_not_given(monkeypatch):
    environment = {"DOCKER_HOST": "tcp://engine:2375", "DOCKER_API_VERSION": "1.41", "DOCKER_TIMEOUT": "5"}
    assert sdk_arguments(monkeypatch, environment) == {"base_url": "tcp://engine:2375", "version": "1.41", "timeout": 5}
    assert sdk_arguments(monkeypatch, environment, docker_host="tcp://other:1")["base_url"] == "tcp://other:1"


def test_tls_without_verification_uses_https(monkeypatch):
    found = sdk_arguments(monkeypatch, docker_host="tcp://engine:2376", tls=True)
    assert found["base_url"] == "https://engine:2376"
    assert found["tls"] == {"client_cert": None, "ca_cert": None, "verify": False}


def test_verified_tls_takes_the_files_of_the_environments_directory(monkeypatch):
    environment = {"DOCKER_HOST": "tcp://engine:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
    assert sdk_arguments(monkeypatch, environment)["tls"] == {
        "client_cert": ("/certs/cert.pem", "/certs/key.pem"),
        "ca_cert": "/certs/ca.pem",
        "verify": True,
    }
    given = sdk_arguments(monkeypatch, environment, ca_path="/mine/ca.pem")["tls"]
    assert given["ca_cert"] == "/mine/ca.pem"


def test_ssh_may_use_the_command(monkeypatch):
    assert sdk_arguments(monkeypatch, docker_host="ssh://root@engine", use_ssh_client=True)["use_ssh_client"] is True


@pytest.mark.parametrize("error", [OSError("no such socket"), RuntimeError("a bug")])
def test_only_the_engines_failures_become_engine_errors(error):
    with (
        pytest.raises(EngineError if isinstance(error, OSError) else RuntimeError),
        client.engine_errors("url", "connect"),
    ):
        raise error
