"""The certificate of `/metrics`, in a folder as the kubelet writes it; what is served is asked of a TLS connection."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from catchup_contract.serving_certificate import CertificateError, ServingCertificate
from catchup_dev.doubles.smtp.certificate import make


def write(folder: Path, version: str) -> str:
    """Put a new certificate into a folder by a link that is replaced, as the kubelet does; return it."""
    certificate, key = make(folder / f"..{version}", ["localhost"])
    certificate.rename(certificate.with_name("tls.crt"))
    key.rename(key.with_name("tls.key"))
    link = folder / "..data_tmp"
    link.symlink_to(f"..{version}")
    link.rename(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return (folder / "tls.crt").read_text()


def served(certificate: ServingCertificate) -> str:
    """Return what a client is shown."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with certificate.context.wrap_socket(connection, server_side=True):
                pass

        thread = threading.Thread(target=answer)
        thread.start()
        shown = ssl.get_server_certificate(listener.getsockname())
        thread.join()
    return shown


def test_a_renewed_certificate_is_served_by_the_same_context(tmp_path: Path) -> None:
    first = write(tmp_path, "1")
    certificate = ServingCertificate(tmp_path)
    assert certificate.refresh()
    assert served(certificate) == first
    assert not certificate.refresh()
    second = write(tmp_path, "2")
    assert served(certificate) == first
    assert certificate.refresh()
    assert served(certificate) == second != first


def test_what_is_no_certificate_with_its_key_is_told_once_and_the_one_before_is_served(tmp_path: Path) -> None:
    first = write(tmp_path, "1")
    certificate = ServingCertificate(tmp_path)
    certificate.refresh()
    write(tmp_path, "2")
    shutil.copy(tmp_path / "..1/tls.key", tmp_path / "..2/tls.key")
    with pytest.raises(CertificateError, match="KEY_VALUES_MISMATCH"):
        certificate.refresh()
    assert not certificate.refresh()
    assert served(certificate) == first
    third = write(tmp_path, "3")
    assert certificate.refresh()
    assert served(certificate) == third


def test_a_file_that_is_missing_is_named_and_is_waited_for(tmp_path: Path) -> None:
    certificate = ServingCertificate(tmp_path)
    with pytest.raises(CertificateError, match=rf"{tmp_path} cannot be read \(No such file or directory\)"):
        certificate.refresh()
    assert not certificate.refresh()
    write(tmp_path, "1")
    assert certificate.refresh()


def test_a_key_with_a_passphrase_is_refused_in_place_of_asking_for_it(tmp_path: Path) -> None:
    write(tmp_path, "1")
    key, sealed = tmp_path / "..1/tls.key", tmp_path / "sealed"
    seal = ("openssl", "pkcs8", "-topk8", "-in", str(key), "-out", str(sealed), "-passout", "pass:word")
    subprocess.run(seal, check=True, capture_output=True)
    sealed.rename(key)
    with pytest.raises(CertificateError, match="passphrase"):
        ServingCertificate(tmp_path).refresh()
