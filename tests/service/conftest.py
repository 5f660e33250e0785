"""The small fleet behind a Kusto service that can fail, on loopback and under the names of Azure's hosts."""

import socket
import ssl

import duckdb
import pandas as pd
import pytest
from faulty import served
from fleet import write
from served_fleet import END, START, TOKEN, FakeCredential, fleet_of

import amakit
from amakit.service import engine, retry
from amakit.service.sign_in import credentials

#: Of Azure's hosts these are on this machine, for the tests that ask for ``cloud``.
HOSTS = (
    "ade.loganalytics.io",
    "adx.monitor.azure.us",
    "api.loganalytics.io",
    "api.loganalytics.us",
    "api.loganalytics.azure.cn",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("logs"), **fleet_of())


@pytest.fixture(scope="module")
def running(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "Ops.duckdb"
    with duckdb.connect(str(path)) as database:
        for table in ("Heartbeat", "Perf", "Event"):
            database.execute(f"CREATE TABLE {table} AS FROM '{folder}/{table}.parquet'")
    with served(path) as server:
        yield server


@pytest.fixture
def service(running):
    return running.renew()


@pytest.fixture(scope="module")
def expected(folder):
    with amakit.connect(folder) as workspace:
        found = amakit.analyze(workspace, START, END)
    assert list(found.transitions["cause"]) == ["upgrade"] * 3
    assert len(found.gaps) >= 6
    assert len(found.events) == 3
    return found


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """No test waits: pauses are noted instead."""
    pauses = []
    quick = retry.Patience(sleep=pauses.append)
    monkeypatch.setattr("amakit.source.workspace.Patience", lambda: quick)
    monkeypatch.setattr(engine, "pace", retry.Pace(10**9))
    return pauses


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    hosts = x509.SubjectAlternativeName([x509.DNSName(h) for h in HOSTS])
    now = pd.Timestamp.now("UTC").to_pydatetime()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - pd.Timedelta(days=1))
        .not_valid_after(now + pd.Timedelta(days=1))
        .add_extension(hosts, False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "test.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def cloud(running, certificate, monkeypatch):
    """The service under the true names of Azure's hosts, with encryption, and a credential of ours."""
    from azure.kusto.data._cloud_settings import CloudSettings

    running.renew().token = TOKEN
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with served(running.path) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.token, plain = TOKEN, socket.getaddrinfo
        server._answers = running._answers  # the same file gives the same

        def here(host, port, *rest, **options):
            known = host in HOSTS
            return (
                plain("127.0.0.1", server.server_port, *rest, **options)
                if known
                else plain(host, port, *rest, **options)
            )

        monkeypatch.setattr(socket, "getaddrinfo", here)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(CloudSettings, "_cloud_cache", {})
        server.credential = FakeCredential()
        monkeypatch.setattr(credentials, "credential", lambda *_, **__: server.credential)
        yield server
