"""The certificate by which `/metrics` is served over TLS: a folder with `tls.crt` and `tls.key`.

So the kubelet mounts a Secret of the type kubernetes.io/tls, and replaces both files at once when the Secret changes:
https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Final, NoReturn

METRICS_PORT_TLS: Final = 8443
"""The port on which the operator serves `/metrics` over TLS, as controller-runtime does."""
# The kubelet looks at a Secret once a minute.
LOOK_SECONDS: Final = 10.0
"""How often the operator looks whether its certificate was renewed; the exporter looks at each scrape."""
# The kubelet's link to the folder with the files of one version of a Secret.
_VERSION: Final = "..data"


class CertificateError(Exception):
    """The certificate cannot be used; the message says which file and why, and holds nothing of the key."""


class ServingCertificate:
    """A certificate that may be renewed while it is used. Not for several threads at once.

    Attributes:
        context: what a TLS server uses; connections that begin after `refresh` see the new certificate.
    """

    def __init__(self, folder: Path) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._folder = folder
        self._loaded = b""
        self._problem = ""

    def refresh(self) -> bool:
        """Load the certificate if it is another one than before, and return whether it is.

        Raises:
            CertificateError: it cannot be used, so that the one before is kept; not twice in succession for one reason.
        """
        try:
            return self._refresh()
        except CertificateError as error:
            if str(error) == self._problem:
                return False
            self._problem = str(error)
            raise

    def _refresh(self) -> bool:
        # Both files of one version, also while the kubelet replaces the link.
        folder = self._folder / _VERSION
        folder = folder.resolve() if folder.is_dir() else self._folder
        files = folder / "tls.crt", folder / "tls.key"
        try:
            read = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).digest()
            if read == self._loaded:
                self._problem = ""
                return False
            # First elsewhere: a key of another certificate would leave the context with half of each.
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(*files, password=_no_password)
        except ssl.SSLError as error:
            raise CertificateError(
                f"tls.crt and tls.key in {self._folder} are no certificate with its key ({error.reason})"
            ) from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise CertificateError(f"tls.crt and tls.key in {self._folder} cannot be read ({why})") from None
        self._loaded, self._problem = read, ""
        return True


def _no_password() -> NoReturn:
    # OpenSSL would ask on the terminal.
    raise ValueError("the key has a passphrase")
