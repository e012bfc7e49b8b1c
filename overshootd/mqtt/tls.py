"""How the broker proves who it is, and we to it."""

from __future__ import annotations

import ssl

from overshootd.config.brokers import BrokerTls
from overshootd.errors import Refused
from overshootd.mqtt.reasons import said


class _Socket(ssl.SSLSocket):
    """Closed when the handshake fails: whoever asked for it then has nothing left that could be closed."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def context(tls: BrokerTls) -> ssl.SSLContext:
    """Reads the files anew, for certificates are renewed. Blocking. Raises Refused when one cannot be used."""
    try:
        made = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise Refused(f"tls.ca_file {tls.ca_file} cannot be used: {_why(error)}") from error
    if tls.cert_file is not None:
        try:
            # Empty: OpenSSL would ask at the terminal for the password of an encrypted key, and wait.
            made.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except OSError as error:
            raise Refused(f"tls.cert_file {tls.cert_file} and its key cannot be used: {_why(error)}") from error
    made.sslsocket_class = _Socket
    return made


def _why(error: OSError) -> str:
    """OpenSSL's reason without the line of its source, the kernel's without its number."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return said(error)
