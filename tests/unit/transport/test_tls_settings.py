"""Certificates and authorities from files: what works, what is refused, and what happens when files are renewed."""

import ssl

import pytest

from roombell.engine.model import FailureKind
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport.tls import TlsFileError, TlsSettings, read_tls
from support.certificates import Certificates


@pytest.fixture
def pki(tmp_path):
    return Certificates(tmp_path)


def refusal(settings: TlsSettings) -> tuple[str, str]:
    with pytest.raises(TlsFileError) as caught:
        read_tls(settings)
    return caught.value.setting, str(caught.value)


async def send(connect, endpoint, **tls):
    client = connect(f"https://localhost:{endpoint.port}/")
    client.configure(tls=read_tls(TlsSettings(**tls)))
    return await client.send()


async def test_a_custom_authority_is_trusted(connect, pki):
    async with ScriptedEndpoint(tls=pki.server()) as endpoint:
        assert (await send(connect, endpoint, ca=pki.ca)).status == 200


async def test_a_custom_authority_stands_in_place_of_the_systems(pki):
    assert len(read_tls(TlsSettings(ca=pki.ca)).context.get_ca_certs()) == 1
    assert read_tls(TlsSettings()).context.verify_mode is ssl.CERT_REQUIRED
    assert read_tls(TlsSettings(ca=pki.ca)).context.check_hostname


async def test_another_authority_is_not_trusted(connect, pki, tmp_path):
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    async with ScriptedEndpoint(tls=pki.server()) as endpoint:
        assert (await send(connect, endpoint, ca=other.ca)).kind is FailureKind.TLS


async def test_the_name_is_checked_under_a_custom_authority_too(connect, pki):
    async with ScriptedEndpoint(tls=pki.server("other.invalid")) as endpoint:
        outcome = await send(connect, endpoint, ca=pki.ca)
    assert "for another host name" in outcome.detail


async def test_an_endpoint_that_wants_a_client_certificate_gets_it(connect, pki):
    cert, key = pki.client()
    both = pki.file("both.pem", key, cert)
    async with ScriptedEndpoint(tls=pki.server(wants_client=True)) as endpoint:
        assert (await send(connect, endpoint, ca=pki.ca, cert=cert, key=key)).status == 200
        assert (await send(connect, endpoint, ca=pki.ca, cert=both)).status == 200


async def test_an_endpoint_that_wants_a_client_certificate_refuses_without_and_with_a_strange_one(
    connect, pki, tmp_path
):
    (tmp_path / "other").mkdir()
    cert, key = Certificates(tmp_path / "other").client()
    async with ScriptedEndpoint(tls=pki.server(wants_client=True)) as endpoint:
        without = await send(connect, endpoint, ca=pki.ca)
        strange = await send(connect, endpoint, ca=pki.ca, cert=cert, key=key)
        assert endpoint.requests == []
    # The server may close before its alert is read: then it is a reset.
    assert {without.kind, strange.kind} <= {FailureKind.TLS, FailureKind.RESET}


@pytest.mark.parametrize(("least", "most", "works"), [("1.2", "TLSv1_2", True), ("1.3", "TLSv1_2", False), ("1.3", "TLSv1_3", True)])  # fmt: skip
async def test_the_oldest_version_that_is_spoken(connect, pki, least, most, works):
    server = pki.server()
    server.maximum_version = ssl.TLSVersion[most]
    async with ScriptedEndpoint(tls=server) as endpoint:
        outcome = await send(connect, endpoint, ca=pki.ca, min_version=least)
    if works:
        assert outcome.status == 200
    else:
        assert outcome.kind is FailureKind.TLS


async def test_versions_that_are_no_longer_safe_are_refused(connect, pki):
    server = pki.server()
    server.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        server.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    async with ScriptedEndpoint(tls=server) as endpoint:
        outcome = await send(connect, endpoint, ca=pki.ca)
    assert outcome.kind is FailureKind.TLS
    assert "no secure connection" in outcome.detail.lower()


async def test_a_renewed_certificate_is_used_after_a_reload_and_one_that_stayed_keeps_its_connections(connect, pki):
    cert, key = pki.client("first")
    settings = TlsSettings(ca=pki.ca, cert=cert, key=key)
    async with ScriptedEndpoint(tls=pki.server(wants_client=True)) as endpoint:
        client = connect(f"https://localhost:{endpoint.port}/")
        client.configure(tls=read_tls(settings))
        assert (await client.send()).status == 200
        client.configure(tls=read_tls(settings))
        assert (await client.send()).reused_connection
        renewed_cert, renewed_key = pki.client("second")
        pki.file("first.pem", renewed_cert)
        pki.file("first.key", renewed_key)
        client.configure(tls=read_tls(settings))
        outcome = await client.send()
        assert (outcome.status, outcome.reused_connection) == (200, False)


def test_equal_files_are_equal_and_share_a_context(pki):
    one, two = read_tls(TlsSettings(ca=pki.ca)), read_tls(TlsSettings(ca=pki.ca))
    assert one == two
    assert one.context is two.context
    assert one != read_tls(TlsSettings(ca=pki.ca, min_version="1.3"))
    assert repr(one) == "<ClientTls>"


def test_a_missing_file_is_told_by_name(pki, tmp_path):
    cert, key = pki.client()
    gone = str(tmp_path / "gone.pem")
    assert refusal(TlsSettings(ca=gone)) == ("ca", f"{gone} cannot be read: No such file or directory.")
    assert refusal(TlsSettings(cert=gone, key=key)) == ("cert", f"{gone} cannot be read: No such file or directory.")
    assert refusal(TlsSettings(cert=cert, key=gone)) == ("key", f"{gone} cannot be read: No such file or directory.")
    assert refusal(TlsSettings(ca=str(tmp_path)))[1] == f"{tmp_path} cannot be read: Is a directory."
    assert refusal(TlsSettings(ca="a\0b"))[0] == "ca"


def test_a_key_that_belongs_to_another_certificate_is_told(pki):
    cert, _ = pki.client("one")
    _, key = pki.client("two")
    assert refusal(TlsSettings(cert=cert, key=key)) == (
        "key",
        f"the private key in {key} does not belong to the certificate in {cert}.",
    )


def test_a_key_with_a_passphrase_is_told_and_nobody_is_asked_for_it(pki):
    cert, key = pki.client()
    sealed = pki.encrypted(key)
    setting, told = refusal(TlsSettings(cert=cert, key=sealed))
    assert setting == "key"
    assert told == (
        f"the private key in {sealed} has a passphrase: decrypt it with openssl pkey -in {sealed} -out FILE."
    )


def test_files_with_something_else_in_them_are_told_apart(pki, tmp_path):
    cert, key = pki.client()
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("hunter2")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
    told = {
        refusal(TlsSettings(ca=str(nonsense))),
        refusal(TlsSettings(ca=str(empty))),
        refusal(TlsSettings(ca=key)),
        refusal(TlsSettings(ca=str(broken))),
        refusal(TlsSettings(cert=str(nonsense), key=key)),
        refusal(TlsSettings(cert=key, key=key)),
        refusal(TlsSettings(cert=str(broken), key=key)),
        refusal(TlsSettings(cert=cert, key=str(nonsense))),
        refusal(TlsSettings(cert=cert)),
    }
    assert ("ca", f"{nonsense} holds no certificate of an authority: it must be PEM.") in told
    assert ("cert", f"{nonsense} holds no certificate: it must be PEM.") in told
    assert ("key", f"{nonsense} holds no private key: it must be PEM.") in told
    assert ("cert", f"{cert} holds no private key: name its file as key.") in told
    assert not any("hunter2" in sentence for _, sentence in told)


def test_a_file_that_is_far_too_large_is_refused(tmp_path):
    large = tmp_path / "large.pem"
    large.write_bytes(b"x" * (4 << 20) + b"x")
    assert "is it the right file?" in refusal(TlsSettings(ca=str(large)))[1]


def test_a_key_without_certificate_and_a_version_that_is_none_are_refused(pki):
    assert refusal(TlsSettings(key=pki.client()[1]))[0] == "key"
    assert refusal(TlsSettings(min_version="1.1")) == ("min_version", "min_version is '1.1'; it is 1.2 or 1.3.")
