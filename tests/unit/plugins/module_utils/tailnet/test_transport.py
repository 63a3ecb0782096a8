# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests to a control server are bounded, verified and told about without their secrets."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet import transport
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.transport import ControlError, Server


class Raw:
    """A server that answers every connection with the same bytes, and then closes it."""

    def __init__(self, answer, context=None):
        self.answer = answer
        self.context = context
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.count = 0

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self.socket.close()

    def serve(self):
        while True:
            try:
                peer, _address = self.socket.accept()
            except OSError:
                return
            self.count += 1
            try:
                peer = self.context.wrap_socket(peer, server_side=True) if self.context else peer
                peer.settimeout(10)
                peer.recv(65536)
                peer.sendall(self.answer)
            except OSError:
                pass
            finally:
                peer.close()


def at(url, **options):
    given = {"ca": None, "validate_certs": True, "timeout": 10.0, "retries": 1, **options}
    found = Server.at(url, **given)
    found.sleep = lambda _seconds: None
    return found


def answer(body, status="200 OK", *headers):
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


def test_an_answer_is_status_text_and_headers():
    with Raw(answer(b"{}", "200 OK", 'ETag: "x"')) as raw:
        found = at(f"http://127.0.0.1:{raw.port}/").request("GET", "/x", {})
    assert (found.status, found.text, found.headers["etag"]) == (200, "{}", '"x"')


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", "lost"),
        (b"no http at all\r\n\r\n", "lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "lost"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}", "lost"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "lost"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "lost"),
        (answer(b"", "502 Bad Gateway"), "lost"),
        (answer(b"", "504 Gateway Timeout"), "lost"),
        (answer(b"\xff\xfe"), "answer"),
        (answer(b"", "302 Found", "Location: http://other.example/\x1b[2J"), "answer"),
        (answer(b"", "429 Too Many Requests", "Retry-After: 0"), "busy"),
        (answer(b"", "503 Unavailable", "Retry-After: soon"), "busy"),
    ],
)
def test_an_answer_that_is_none_is_one_error(said, kind):
    with Raw(said) as raw, pytest.raises(ControlError) as error:
        at(f"http://127.0.0.1:{raw.port}").request("GET", "/x", {})
    assert error.value.kind == kind
    assert str(error.value).isprintable()
    assert raw.count == (1 if kind == "answer" else 2)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", answer(b"", "504 Gateway Timeout")]
)
def test_a_write_without_an_answer_is_not_sent_again(said):
    with Raw(said) as raw, pytest.raises(ControlError) as error:
        at(f"http://127.0.0.1:{raw.port}").request("PUT", "/x", {}, "body")
    assert (error.value.kind, raw.count) == ("lost", 1)


#: What says of an answer that it is the last one of its connection; the client then lets go of that before it has read the answer.
LAST = (b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("head", LAST)
@pytest.mark.parametrize("secure", [False, True])
def test_an_answer_that_drips_is_cut_and_not_waited_for_to_its_end(head, secure, certificate):
    """The server drips until the client is gone; one that waits for the end is here until the server gives up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    gone = threading.Event()

    class Dripping(Raw):
        def serve(self):
            peer, _address = self.socket.accept()
            peer = self.context.wrap_socket(peer, server_side=True) if self.context else peer
            peer.recv(65536)
            try:
                peer.sendall(head + b"\r\nContent-Length: 600\r\n\r\n")
                for _byte in range(600):
                    peer.sendall(b"x")
                    time.sleep(0.1)
            except OSError:
                gone.set()

    with Dripping(b"", context if secure else None) as raw, pytest.raises(ControlError) as error:
        url = f"http{'s' * secure}://127.0.0.1:{raw.port}"
        at(url, ca=str(certificate / "cert") if secure else None, timeout=1.0, retries=0).request("GET", "/x", {})
    assert "no whole answer within 1 s" in str(error.value)
    assert gone.wait(20), "the server was cut off before its answer was whole"


def test_a_server_that_drips_before_tls_is_agreed_on_is_cut_as_well():
    gone = threading.Event()

    class Dripping(Raw):
        def serve(self):
            peer, _address = self.socket.accept()
            try:
                # A record of a handshake, whose end the client waits for.
                peer.sendall(b"\x16\x03\x03\x40\x00")
                for _byte in range(600):
                    peer.sendall(b"x")
                    time.sleep(0.1)
            except OSError:
                gone.set()

    with Dripping(b"") as raw, pytest.raises(ControlError) as error:
        at(f"https://127.0.0.1:{raw.port}", timeout=1.0, retries=0).request("GET", "/x", {})
    assert error.value.kind == "lost" and "no whole answer within 1 s" in str(error.value)
    assert gone.wait(20), "the server was cut off before it came to its end"


def test_an_answer_without_end_is_cut_at_its_bound(monkeypatch):
    monkeypatch.setattr(transport, "LARGEST_BODY", 1000)
    with Raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000) as raw, pytest.raises(ControlError) as error:
        at(f"http://127.0.0.1:{raw.port}").request("GET", "/x", {})
    assert error.value.kind == "answer"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "headscale.example",
        "ftp://x",
        "http://",
        "http://a:b@x",
        "http://x:99999",
        "http://[::1",
        "http://x?y=1",
        "http://x/a b",
        "http://x/a\x0bHost: y",
        "http://x\n",
    ],
)
def test_a_url_that_is_none_is_said_before_any_request(url):
    if url == "http://x\n":  # blanks around it are cut off
        assert at(url).host == "x"
        return
    with pytest.raises(ControlError) as error:
        at(url)
    assert error.value.kind == "input"
    assert "a:b" not in str(error.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=headscale.test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run([*command, "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
    return folder


def test_a_certificate_is_verified_unless_it_is_said_otherwise(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    with Raw(answer(b"{}"), context) as raw:
        url = f"https://127.0.0.1:{raw.port}"
        with pytest.raises(ControlError) as error:
            at(url).request("GET", "/x", {})
        assert error.value.kind == "unreachable"
        assert "give the CA that signed it as ca" in str(error.value)
        assert at(url, ca=str(certificate / "cert")).request("GET", "/x", {}).status == 200
        assert at(url, validate_certs=False).request("GET", "/x", {}).status == 200
        with pytest.raises(ControlError):
            at(f"https://localhost:{raw.port}", ca=str(certificate / "cert")).request("GET", "/x", {})


def test_a_ca_that_holds_no_certificate_is_said(certificate, tmp_path):
    (tmp_path / "ca").write_text("nothing", encoding="utf-8")
    with pytest.raises(ControlError) as error:
        at("https://127.0.0.1:1", ca=str(tmp_path / "ca")).request("GET", "/x", {})
    assert error.value.kind == "input"


def test_a_secret_is_cut_out_of_what_a_server_says():
    server = at("http://127.0.0.1:1")
    server.secrets.append("hskey-api-secret")
    assert server.redacted("you sent hskey-api-secret\n\x1b[2J") == "you sent *** \\x1b[2J"
    assert "hskey" not in repr(server)
