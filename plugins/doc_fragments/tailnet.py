# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations


class ModuleDocFragment:
    """The connection to a tailnet's control server."""

    DOCUMENTATION = r"""
options:
  dialect:
    description:
      - Which control server it is, V(headscale) (0.29) or V(tailscale), Tailscale's own.
      - The two take different policies; a policy is checked against the words of this one.
    type: str
    choices: [headscale, tailscale]
    default: headscale
  url:
    description:
      - The address of the server, such as C(https://headscale.example). Needed for Headscale.
      - Left out with O(dialect=tailscale), it is C(https://api.tailscale.com).
      - Redirects are not followed, and neither are proxy variables of the environment.
    type: str
  token:
    description:
      - A key of C(headscale apikeys create), or an access token of Tailscale with the scope C(policy_file).
      - It is never shown or logged.
    type: str
  client_id:
    description: An OAuth client of Tailscale with the scope C(policy_file), in the place of O(token).
    type: str
  client_secret:
    description: The client's secret. It is never shown or logged.
    type: str
  tailnet:
    description: The name of the tailnet with O(dialect=tailscale); V(-) is the one that the token belongs to.
    type: str
    default: "-"
  ca:
    description: A file with the certificates of the authorities that may have signed the server's; without it, those of the system.
    type: path
  validate_certs:
    description: Whether an C(https) server must show a certificate that can be verified.
    type: bool
    default: true
  timeout:
    description: Seconds for one whole answer.
    type: float
    default: 30.0
  retries:
    description:
      - How many more times a request is sent where the server asks to wait (429, 503) or cannot be reached.
      - A C(Retry-After) is obeyed up to 30 seconds; otherwise the pauses are 0.5, 1, 2, 4... seconds.
      - A write that got no answer is not sent again; what stands on the server is read instead.
    type: int
    default: 4
"""
