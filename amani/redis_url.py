"""Parses REDIS_URL and rewrites it to a form that redis-py, kombu and Django's cache read in the same way.

Without `ssl_cert_reqs`, redis-py checks certificates but Celery's kombu does not; one accepts CERT_NONE, the
other only none; Django's cache splits a URL at commas, kombu at semicolons. A URL that one of them cannot use
is refused here, before any of them reads it.
"""

import ssl
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured

EXAMPLE = "rediss://:password@host:6379/0?ssl_ca_certs=/etc/ssl/redis-ca.pem"
CERTIFICATE_CHECKS = {
    "required": "required",
    "cert_required": "required",
    "optional": "optional",
    "cert_optional": "optional",
    "none": "none",
    "cert_none": "none",
}
SWITCHES = dict.fromkeys(("true", "yes", "on", "1"), "true") | dict.fromkeys(
    ("false", "no", "off", "0"), "false"
)
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
KNOWN = ("ssl_cert_reqs", "ssl_check_hostname", *FILES)


def refusal(problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"REDIS_URL: {problem}. Example: {EXAMPLE}")


def read_redis_url(url: str) -> str:
    """Returns `url` in the form that redis-py, kombu and Django's cache read in the same way.

    A returned `rediss://` URL always has `ssl_cert_reqs`, which is `required` unless `url` sets it. Raises
    ImproperlyConfigured with the problem, without the password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        name, password = (unquote(text or "", errors="strict") for text in (parts.username, parts.password))
    except ValueError:
        message = (
            "the port is not a number, or the password has one of / ? # [ ] % that is not percent-encoded"
        )
        raise refusal(message) from None
    if parts.scheme not in {"redis", "rediss"}:
        raise refusal("it must begin with redis:// or, for TLS, rediss://")
    if not parts.hostname or "," in parts.netloc.rpartition("@")[2]:
        raise refusal("it must have exactly one host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    login = f"{quote(name, safe='')}:{quote(password, safe='')}@" if name or password else ""
    query = urlencode(parameters_of(parts), quote_via=quote, safe="/")
    return f"{parts.scheme}://{login}{host}:{port}/{database_of(parts)}" + (f"?{query}" if query else "")


def database_of(parts: SplitResult) -> int:
    number = parts.path.strip("/") or "0"
    if not (number.isascii() and number.isdigit()):
        raise refusal("the path must be the number of a database, such as /0")
    return int(number)


def parameters_of(parts: SplitResult) -> dict[str, str]:
    """Returns the TLS parameters with names and values that all clients accept."""
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    found = dict(pairs)
    unknown = sorted(set(found) - set(KNOWN))
    if unknown:
        raise refusal(f"it has an unknown parameter {unknown[0]!r}; known are {', '.join(KNOWN)}")
    if len(found) < len(pairs):
        raise refusal("it has a parameter twice")
    if parts.scheme == "redis":
        if found:
            raise refusal(f"{min(found)} is for TLS, so the URL must begin with rediss://")
        return {}
    found["ssl_cert_reqs"] = one_of(
        CERTIFICATE_CHECKS, "ssl_cert_reqs", found.get("ssl_cert_reqs", "required")
    )
    if "ssl_check_hostname" in found:
        found["ssl_check_hostname"] = one_of(SWITCHES, "ssl_check_hostname", found["ssl_check_hostname"])
    check_files(found)
    return found


def one_of(choices: dict[str, str], name: str, value: str) -> str:
    if value.lower() not in choices:
        raise refusal(f"{name} is {value!r}, must be one of {', '.join(dict.fromkeys(choices.values()))}")
    return choices[value.lower()]


def check_files(found: dict[str, str]) -> None:
    """Loads the certificate files as redis-py does later, so that a problem is found at start."""
    context = ssl.create_default_context()
    if "ssl_ca_certs" in found:
        try:
            context.load_verify_locations(found["ssl_ca_certs"])
        except ssl.SSLError:
            raise refusal(f"ssl_ca_certs: {found['ssl_ca_certs']!r} has no certificate in PEM") from None
        except OSError as error:
            raise unreadable("ssl_ca_certs", found["ssl_ca_certs"], error) from None
    if "ssl_keyfile" in found and "ssl_certfile" not in found:
        raise refusal("ssl_keyfile requires ssl_certfile")
    if "ssl_certfile" in found:
        key = found.get("ssl_keyfile", found["ssl_certfile"])
        try:
            context.load_cert_chain(found["ssl_certfile"], key, password=lambda: "")
        except ssl.SSLError:
            message = (
                "ssl_certfile and ssl_keyfile are not a certificate and its key in PEM, without password"
            )
            raise refusal(message) from None
        except OSError as error:
            raise unreadable("ssl_certfile or ssl_keyfile", key, error) from None


def unreadable(name: str, path: str, error: OSError) -> ImproperlyConfigured:
    return refusal(f"{name}: {path!r} cannot be read ({error.strerror})")
