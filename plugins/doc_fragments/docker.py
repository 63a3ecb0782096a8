# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations


class ModuleDocFragment:
    """The options by which a module reaches a Docker Engine; the names are those of community.docker."""

    DOCUMENTATION = r"""
options:
  docker_host:
    description:
      - The URL of the Docker Engine's API; a Unix socket, C(tcp://) or C(ssh://).
      - Without it the environment variable E(DOCKER_HOST) counts.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  tls:
    description:
      - Use TLS without a check of the engine's certificate. O(validate_certs=true) wins over it.
      - Without it the environment variable E(DOCKER_TLS) counts.
    type: bool
    default: false
  validate_certs:
    description:
      - Use TLS and check the engine's certificate.
      - Without it the environment variable E(DOCKER_TLS_VERIFY) counts.
    type: bool
    default: false
    aliases: [tls_verify]
  ca_path:
    description:
      - The file with the certificate authority that the engine's certificate is checked against.
      - Without it C(ca.pem) in the directory E(DOCKER_CERT_PATH), where that is set.
    type: path
    aliases: [ca_cert, tls_ca_cert, cacert_path]
  client_cert:
    description:
      - The client's certificate file.
      - Without it C(cert.pem) in the directory E(DOCKER_CERT_PATH), where that is set.
    type: path
    aliases: [tls_client_cert, cert_path]
  client_key:
    description:
      - The client's key file.
      - Without it C(key.pem) in the directory E(DOCKER_CERT_PATH), where that is set.
    type: path
    aliases: [tls_client_key, key_path]
  api_version:
    description:
      - The version of the engine's API. V(auto) asks the engine.
      - Without it the environment variable E(DOCKER_API_VERSION) counts.
    type: str
    default: auto
    aliases: [docker_api_version]
  timeout:
    description:
      - How many seconds one answer of the engine may take.
      - Without it the environment variable E(DOCKER_TIMEOUT) counts.
    type: int
    default: 60
  use_ssh_client:
    description:
      - For C(ssh://) run the C(ssh) command instead of paramiko.
    type: bool
    default: false
requirements:
  - Docker SDK for Python 5.0 or newer on the host that runs the module (Debian's C(python3-docker))
"""
