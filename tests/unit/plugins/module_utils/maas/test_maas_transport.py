# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wire: real sockets, TLS, keep-alive, addresses and keys as people give them."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import time

import pytest
from maas_server import harness
from maas_server.region import Reply
from maas_server.serve import Fault, Server

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas import transport
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import ensure
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import ApiKey, Client, Endpoint, MaasError

TREE = {"fabrics": [{"name": "gough", "vlans": [{"vid": 10, "subnets": [{"cidr": "10.0.1.0/24"}]}]}]}


@pytest.mark.parametrize(
    "url",
    [
        "http://maas:5240",
        "http://maas:5240/",
        "http://maas:5240/MAAS",
        "http://maas:5240/MAAS/",
        "http://maas:5240/MAAS/api/2.0",
        " http://maas:5240/MAAS/api/2.0/ ",
    ],
)
def test_all_the_usual_forms_of_the_address_name_the_same_api(url):
    assert str(Endpoint.parse(url)) == "http://maas:5240/MAAS/api/2.0/"


def test_an_ipv6_address_keeps_its_brackets():
    assert str(Endpoint.parse("https://[fd00::5]")) == "https://[fd00::5]:443/MAAS/api/2.0/"


@pytest.mark.parametrize(
    "url, text",
    [
        ("maas:5240", "expected http"),
        ("ftp://maas", "expected http"),
        ("http://", "expected http"),
        ("http://maas:notaport", "expected http"),
        ("http://user:pw@maas/", "user or password"),
    ],
)
def test_an_unusable_address_is_refused(url, text):
    with pytest.raises(MaasError, match=text) as caught:
        Endpoint.parse(url)
    assert "pw" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("key", ["", "one", "a:b", "a:b:c:d", "a::c", "a:b:c d", 'a:b:c"'])
def test_an_unusable_key_is_refused_and_not_shown(key):
    with pytest.raises(MaasError, match="consumer:token:secret") as caught:
        ApiKey.parse(key)
    assert key not in str(caught.value) or key in ("", "one")


def test_the_key_does_not_show_in_its_repr():
    assert repr(ApiKey.parse("aaaa:bbbb:cccc")) == "ApiKey()"


def test_the_signature_is_the_secret_behind_an_escaped_ampersand():
    header = ApiKey.parse("ck:tk:sk").header(1700000000.9)
    assert 'oauth_signature="%26sk"' in header and 'oauth_timestamp="1700000000"' in header
    assert header != ApiKey.parse("ck:tk:sk").header(1700000000.9)


def test_only_true_and_false_are_sent_for_booleans():
    assert [transport.encode(value) for value in (True, False, None, (), ("a", "b"), 0)] == [
        "true",
        "false",
        "",
        "",
        "a,b",
        "0",
    ]


@pytest.mark.parametrize(
    "value, seconds",
    [
        (None, None),
        ("7", 7.0),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(value, seconds):
    assert transport.retry_after(value, 10.0) == seconds


def test_a_run_uses_one_connection():
    front = harness.front()
    with Server(front) as server:
        client = harness.socket_client(server.url, front)
        ensure(client, TREE, False)
        ensure(client, TREE, False)
        client.close()
        assert server.connections == 1
        assert len(front.log) == 9


def test_a_connection_that_idled_out_is_opened_again():
    front = harness.front()
    with Server(front) as server:
        client = harness.socket_client(server.url, front)
        assert client.get("fabrics/")
        client._connection.sock.shutdown(socket.SHUT_RDWR)
        assert client.get("fabrics/")
        client.close()
        assert server.connections == 2


def test_a_silent_region_is_a_timeout_over_a_real_socket():
    front = harness.front(faults=lambda index, method, path: Fault("timeout"))
    with Server(front) as server:
        client = harness.socket_client(server.url, front, timeout=0.1, retries=1)
        with pytest.raises(MaasError, match=r"no (whole )?answer within 0.2 s; it was not sent again"):
            client.get("fabrics/")
        with pytest.raises(MaasError, match=r"no (whole )?answer within 0.1 s, after 2 attempts"):
            client.put("vlans/5001/", {"mtu": 9000})


def test_a_cut_connection_and_a_late_post_are_recovered_from_over_a_real_socket():
    front = harness.front()
    front.faults = lambda index, method, path: {1: Fault("reset"), 4: Fault("timeout", done=True)}.get(index)
    with Server(front) as server:
        client = harness.socket_client(server.url, front, timeout=0.2)
        assert ensure(client, TREE, False)[0]["changed"]
        assert ensure(client, TREE, False)[0]["operations"] == []
        client.close()
    assert len([fabric for fabric in front.region.fabrics.values() if fabric["name"] == "gough"]) == 1


def test_nobody_listening_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = "http://127.0.0.1:%d" % taken.getsockname()[1]
        with pytest.raises(MaasError, match="refused; does MAAS listen there"):
            harness.socket_client(url, harness.front(), retries=0).get("fabrics/")


def test_a_page_that_is_not_the_api_is_said():
    front = harness.front(faults=lambda *request: Fault("status", reply=Reply(200, "<html>", "text/html")))
    with pytest.raises(MaasError, match="not JSON"):
        harness.client(front).get("fabrics/")


def test_a_redirect_is_not_followed_with_the_key():
    where = {"Location": "https://elsewhere/MAAS/"}
    front = harness.front(faults=lambda *request: Fault("status", reply=Reply(301, "", "text/html", where)))
    with pytest.raises(MaasError, match="redirect to https://elsewhere/MAAS/; give that address as url"):
        harness.client(front).get("fabrics/")
    assert len(front.log) == 1


def test_a_key_without_the_right_to_write_is_said():
    front = harness.front(faults=lambda index, method, path: Fault("status", reply=Reply(403, "", "text/plain")))
    with pytest.raises(MaasError, match="administrator"):
        harness.client(front).get("fabrics/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 and its key; with the library that Ansible itself needs."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_an_unknown_certificate_is_refused_before_the_key_is_sent(certificate):
    front = harness.front()
    with Server(front, tls=certificate) as server:
        with pytest.raises(MaasError, match="not trusted .*give the CA that signed it as ca_path"):
            harness.socket_client(server.url, front).get("fabrics/")
    assert front.log == []


def test_ca_path_makes_the_certificate_known(certificate):
    front = harness.front()
    with Server(front, tls=certificate) as server:
        client = harness.socket_client(server.url, front, ca_path=certificate[0])
        assert client.get("fabrics/")
        client.close()


def test_verification_can_be_turned_off(certificate):
    front = harness.front()
    with Server(front, tls=certificate) as server:
        client = harness.socket_client(server.url, front, validate_certs=False)
        assert client.get("fabrics/")
        client.close()


def test_a_ca_path_that_is_missing_or_no_certificate_is_named(tmp_path):
    with pytest.raises(MaasError, match="does not exist on the host that runs this task"):
        Endpoint.parse("https://maas", ca_path=str(tmp_path / "none.pem"))
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(MaasError, match="no usable certificate"):
        Client(Endpoint.parse("https://maas", ca_path=str(tmp_path / "junk.pem")), ApiKey.parse("a:b:c")).get(
            "fabrics/"
        )


def test_the_stand_in_takes_multipart_as_maas_does_and_refuses_a_broken_one():
    front = harness.front()
    kind = "multipart/form-data; boundary=x"
    whole = '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\ngough\r\n--x--\r\n'
    for body, status in ((whole, 200), ("no parts at all", 400)):
        headers = {"authorization": ApiKey.parse(front.key).header(time.time()), "content-type": kind}
        assert front.answer("POST", "/MAAS/api/2.0/fabrics/", headers, body).status == status
    assert [fabric["name"] for fabric in front.region.fabrics.values()][-1] == "gough"
