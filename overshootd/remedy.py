"""What a person can do about a failure of TLS or of a proxy, which three libraries tell in words of their own.

By the words, not by types: OpenSSL's come wrapped by httpx and by websockets, and of rustls, in the LiveKit library,
there is nothing but a text, with figures in it that are new each time. Tests make each of them happen.
"""

from __future__ import annotations

import re

MEANINGS = (
    (
        ("certificate is not yet valid", "certificate not valid yet", "NotValidYet"),
        "the certificate of {host} is not yet valid by this machine's clock, which may not have been set yet",
    ),
    (
        ("certificate has expired", "certificate expired", "peer certificate: Expired"),
        "the certificate of {host} has expired by this machine's clock",
    ),
    (
        ("certificate is not valid for", "certificate not valid for name", "NotValidForName"),
        "the certificate of {host} is made out to another name",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "invalid peer certificate"),
        "the certificate of {host} is from nobody whom this machine trusts: make its authority one of the system's "
        "(update-ca-certificates), or name a file with it in SSL_CERT_FILE",
    ),
    (
        ("407 Proxy Authentication", "proxy rejected connection: HTTP 407"),
        "the proxy on the way to {host} wants a user and a password: "
        "HTTPS_PROXY=http://USER:PASSWORD@PROXY:PORT, with those that it knows",
    ),
)
"""What is in the library's text, and what it means; the first that fits."""


def explained(why: str, url: str) -> str:
    """One sentence that says what to do about `why` a connection to `url` failed; `why` itself where it says that
    already, or nobody knows. Pure."""
    for words, meaning in MEANINGS:
        if any(word in why for word in words):
            return meaning.format(host=_host(url))
    return why


def _host(url: str) -> str:
    """With the port, without a user and a password."""
    found = re.search(r"//(?:[^/?#]*@)?([^/?#]+)", url)
    return found[1] if found else url
