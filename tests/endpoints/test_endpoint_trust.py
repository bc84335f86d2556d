"""Whom the client believes: certificates are checked, and nothing is sent to where a server points.

Real: the `openai` client, TLS, HTTP on the loopback. Doubles: certificates made for the test (trustme).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from clair.endpoints.endpoint import Endpoint, Limits
from clair.endpoints.spec import parse_spec
from clair.errors import EndpointUnusable
from tests.servers.chat import ChatServer, Fault, echo

KEY = "sk-trust-4711-long-enough"
ASK = ({"role": "user", "content": "hi"},)


async def ask(url: str) -> str:
    endpoint = await Endpoint.connect(
        parse_spec(f"m@{url}", env={}), limits=Limits(max_retries=0), env={"OPENAI_API_KEY": KEY}
    )
    try:
        return (await endpoint.complete(endpoint.body(ASK, 0))).completion.text
    finally:
        await endpoint.aclose()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this process trusts, and no other."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


def served_with(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


async def test_a_certificate_of_a_known_authority_for_this_host_is_accepted(authority: trustme.CA) -> None:
    with ChatServer(tls=served_with(authority.issue_cert("127.0.0.1"))) as server:
        assert await ask(server.base_url) == "HI"


UNTRUSTED: dict[str, Callable[[trustme.CA], trustme.LeafCert]] = {
    "of an unknown authority": lambda authority: trustme.CA().issue_cert("127.0.0.1"),
    "for another host": lambda authority: authority.issue_cert("api.example.org"),
}


@pytest.mark.parametrize("made", UNTRUSTED.values(), ids=UNTRUSTED.keys())
async def test_any_other_certificate_is_refused_and_the_key_not_sent(
    authority: trustme.CA, made: Callable[[trustme.CA], trustme.LeafCert]
) -> None:
    with ChatServer(tls=served_with(made(authority))) as server:
        with pytest.raises(EndpointUnusable) as caught:
            await ask(server.base_url)
        assert str(caught.value).startswith(f"{server.base_url}: the TLS connection is not trusted or failed")
        assert "certificate verify failed" in str(caught.value)
        assert (server.paths, server.headers) == ([], [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_is_refused_and_named(status: int) -> None:
    with ChatServer() as elsewhere:
        pointed = Fault(status=status, headers={"Location": f"{elsewhere.base_url}/chat/completions"})
        with ChatServer(lambda _: pointed) as server, pytest.raises(EndpointUnusable) as caught:
            await ask(server.base_url)
        assert f"HTTP {status}: redirected to {elsewhere.base_url}. Give the base URL where it leads" in str(
            caught.value
        )
        assert elsewhere.connections == 0


async def test_a_redirect_of_the_first_look_is_refused_too() -> None:
    with ChatServer() as elsewhere:
        pointed = Fault(status=307, headers={"Location": f"{elsewhere.base_url}/models"})
        with ChatServer(echo, models_fault=pointed) as server, pytest.raises(EndpointUnusable, match="redirected to"):
            await ask(server.base_url)
        assert elsewhere.connections == 0
