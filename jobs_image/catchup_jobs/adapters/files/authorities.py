"""Private certificate authorities, trusted by all clients of a process beside the public ones.

Each client looks for authorities elsewhere: OpenSSL (Redis, SMTP), requests (Twilio, consent), httplib2 (Google), libpq
(PostgreSQL; the one in psycopg's wheel knows no system's authorities). All of them read a file from the environment.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path
from typing import Final

from catchup_contract.env import Env
from catchup_jobs.jobs.run.errors import MisconfiguredError

# https://docs.openssl.org/3.0/man3/SSL_CTX_load_verify_locations/,
# https://requests.readthedocs.io/en/latest/user/advanced/#ssl-cert-verification,
# https://httplib2.readthedocs.io/en/latest/libhttplib2.html,
# https://www.postgresql.org/docs/17/libpq-envars.html
_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "PGSSLROOTCERT")

_bundles: Final[dict[bytes, tempfile._TemporaryFileWrapper[bytes]]] = {}  # deleted when the process ends


def trust(path: Path) -> None:
    """Let every client that is made from now on trust the authorities of a PEM file, too. What is set already stays.

    Raises:
        MisconfiguredError: the file cannot be read or holds no certificate.
    """
    try:
        private = path.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=private.decode("ascii"))
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise MisconfiguredError(f"{Env.CA_FILE} cannot be read, or holds no certificate in PEM form") from None
    if private not in _bundles:
        import certifi  # noqa: PLC0415 - for private authorities only

        bundle = tempfile.NamedTemporaryFile(prefix="catchup-ca-", suffix=".pem")  # noqa: SIM115 - as long as the process
        bundle.write(Path(certifi.where()).read_bytes() + b"\n" + private)
        bundle.flush()
        _bundles[private] = bundle
    for variable in _VARIABLES:
        os.environ.setdefault(variable, _bundles[private].name)
