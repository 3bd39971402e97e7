"""Writes the files that the other services of docker-compose.yml read, one folder for each reader.

    prepare.py FOLDER [FOLDER OF AMANI]

Secrets come from the environment, which compose fills from .env. In demo mode the ones that are missing are
generated, and kept for the next start. In production mode nothing is generated: the names of what is missing
are printed, and no service starts. It runs as root, so that each folder can belong to the user who reads it.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from urllib.parse import quote

import bcrypt

APPLICATION_ROLE = "amani_app"  # of PostgreSQL; roles.py makes it
PROMETHEUS_USER = "amani"  # as in docker-compose.yml and deploy/prometheus/compose/prometheus.yml
LONGEST_FOR_BCRYPT = 72  # bytes
BCRYPT_ROUNDS = 10  # as Prometheus's documentation suggests; it remembers what it has checked
SHORTEST = 16  # characters of a password or token; Amani itself asks for more where that is needed
AMANI, POSTGRES, REDIS, NOBODY, GRAFANA, NGINX, REDIS_EXPORTER = 10001, 999, 999, 65534, 472, 101, 59000
ALERTMANAGER_CONFIGURATION = Path(__file__).parent.parent / "alertmanager" / "alertmanager.yml"
WEBHOOK = "http://localhost:8000/"  # as the shipped file names Amani


class NotPreparedError(Exception):
    """Something is missing or cannot be used; the message says what to do."""


def fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def token() -> str:
    return secrets.token_urlsafe(36)


def demo_password() -> str:
    return secrets.token_urlsafe(9)


GENERATED: dict[str, Callable[[], str]] = {
    "SECRET_KEY": token,
    "ENCRYPTION_KEYS": fernet_key,
    "KYC_SEARCH_KEY": token,
    "ALERT_WEBHOOK_TOKEN": token,
    "METRICS_TOKEN": token,
    "POSTGRES_PASSWORD": token,
    "REDIS_PASSWORD": token,
    "PROMETHEUS_PASSWORD": token,
    "GRAFANA_ADMIN_PASSWORD": lambda: "admin",  # as the runbook says
}
# For the service `bank`.
FOR_THE_DEMO_ONLY: dict[str, Callable[[], str]] = {"PAYMENT_SANDBOX_KEY": token}
# Production starts without, unless PAYMENT_PROVIDER needs it.
OPTIONAL = ("PAYMENT_SANDBOX_KEY", "PAYSTACK_SECRET_KEY", "PAYSTACK_SECRET_KEY_PREVIOUS")


def write(file: Path, content: str, owner: int) -> None:
    """Replaces the file at once, readable by its owner only."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o400)
    new.write_text(content)
    os.chown(new, owner, owner)
    new.replace(file)


def folder(root: Path, name: str, owner: int) -> Path:
    made = root / name
    made.mkdir(mode=0o500, exist_ok=True)
    os.chown(made, owner, owner)
    return made


def read_secrets(root: Path, given: Mapping[str, str], *, production: bool) -> dict[str, str]:
    """Returns every secret, given or (in demo mode) generated once."""
    values = {name: given.get(name, "").strip() for name in (*GENERATED, *OPTIONAL)}
    if production:
        uses_paystack = given.get("PAYMENT_PROVIDER", "") == "paystack"
        refuse_unusable(values, [*GENERATED, *(["PAYSTACK_SECRET_KEY"] if uses_paystack else [])])
        return values
    for name, generate in (GENERATED | FOR_THE_DEMO_ONLY).items():
        values[name] = values[name] or generated_once(root, name.lower(), generate)
    return values


def refuse_unusable(values: Mapping[str, str], required: Sequence[str]) -> None:
    """Raises NotPreparedError, which names every secret that is missing or could be guessed."""
    problems = [
        f"{name} is not set. Set it in .env; production has no default."
        if not values[name]
        else f"{name} is shorter than {SHORTEST} characters: it could be guessed."
        for name in required
        if len(values[name]) < SHORTEST
    ]
    if problems:
        raise NotPreparedError("\n".join(problems))


def generated_once(root: Path, name: str, generate: Callable[[], str]) -> str:
    file = folder(root, "generated", 0) / name
    if not file.exists():
        write(file, generate(), 0)
    return file.read_text()


def database_url(role: str, password: str) -> str:
    return f"postgresql://{role}:{quote(password, safe='')}@postgres:5432/amani"


def derived_password(owners: str, who: str) -> str:
    """Returns a password that follows from the owner's without revealing it, so that there is none to set."""
    return hmac.new(owners.encode(), f"the {who}'s role of PostgreSQL".encode(), hashlib.sha256).hexdigest()


def application_password(owners: str) -> str:
    return derived_password(owners, "application")


def exporter_password(owners: str) -> str:
    return derived_password(owners, "exporter")


def for_amani(values: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Returns what every process may know. With a PostgreSQL of the operator's own, its roles are, too."""
    database = database_url(APPLICATION_ROLE, application_password(values["POSTGRES_PASSWORD"]))
    role = given.get("DATABASE_APPLICATION_ROLE", "") if given.get("DATABASE_URL") else APPLICATION_ROLE
    broker = f"redis://:{quote(values['REDIS_PASSWORD'], safe='')}@redis:6379/0"
    return {
        "secret_key": values["SECRET_KEY"],
        "encryption_keys": values["ENCRYPTION_KEYS"],
        "kyc_search_key": values["KYC_SEARCH_KEY"],
        "alert_webhook_token": values["ALERT_WEBHOOK_TOKEN"],
        "metrics_token": values["METRICS_TOKEN"],
        "prometheus_password": values["PROMETHEUS_PASSWORD"],
        "database_url": given.get("DATABASE_URL") or database,
        "database_application_role": role,
        "redis_url": given.get("REDIS_URL") or broker,
        **{name.lower(): values[name] for name in OPTIONAL},
    }


def for_migrate(values: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Returns the same, the owner of the tables in `database_url`, and what it takes to make the roles."""
    of_amani = for_amani(values, given)
    own = given.get("MIGRATE_DATABASE_URL") or given.get("DATABASE_URL")
    owners = values["POSTGRES_PASSWORD"]
    return of_amani | {
        "application_database_url": of_amani["database_url"],
        "application_password": "" if own else application_password(owners),
        "exporter_password": "" if own else exporter_password(owners),
        "database_url": own or database_url("amani", owners),
    }


def for_prometheus(values: Mapping[str, str], *, production: bool) -> dict[str, str]:
    """Returns Prometheus's files. Its clients always send the password; it requires it in production."""
    password = values["PROMETHEUS_PASSWORD"].encode()
    if len(password) > LONGEST_FOR_BCRYPT:
        raise NotPreparedError(
            f"PROMETHEUS_PASSWORD is longer than {LONGEST_FOR_BCRYPT} bytes: Prometheus cannot check it."
        )
    users = {PROMETHEUS_USER: bcrypt.hashpw(password, bcrypt.gensalt(BCRYPT_ROUNDS)).decode()}
    pair = base64.b64encode(PROMETHEUS_USER.encode() + b":" + password).decode()
    return {
        "metrics_token": values["METRICS_TOKEN"],
        "password": password.decode(),
        "authorization": f"Basic {pair}",
        "web.yml": json.dumps({"basic_auth_users": users if production else {}}) + "\n",
    }


def alertmanager_configuration(pagerduty_url: str) -> str:
    """The shipped file, for an Amani that is called `app`."""
    text = ALERTMANAGER_CONFIGURATION.read_text()
    if WEBHOOK not in text:
        raise NotPreparedError(f"{ALERTMANAGER_CONFIGURATION} no longer names {WEBHOOK}.")
    text = text.replace(WEBHOOK, "http://app:8000/")
    if pagerduty_url:
        text = text.replace("\nglobal:\n", f"\nglobal:\n  pagerduty_url: {json.dumps(pagerduty_url)}\n")
    return text


def allowed(variable: str, given: Mapping[str, str]) -> str:
    """Returns nginx's lines that allow the networks in `variable` and deny every other address."""
    lines = []
    for text in filter(None, (part.strip() for part in given.get(variable, "").split(","))):
        try:
            lines.append(f"allow {ip_network(text)};\n")
        except ValueError as problem:
            raise NotPreparedError(f"{variable}: {problem}. Example: 10.0.3.0/24,203.0.113.7") from None
    return "".join(lines) + "deny all;\n"


def redirect(port: str) -> str:
    """The line of nginx that sends people from http to https, where compose publishes it."""
    if not port.isdecimal():
        raise NotPreparedError(f"EDGE_HTTPS_PORT is {port!r}; it must be a number.")
    return f"return 308 https://$host{'' if int(port) == 443 else f':{port}'}$request_uri;\n"


def self_signed(host: str) -> tuple[str, str]:
    """A certificate for `host` and localhost, and its key. For the demo: no browser trusts it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Amani demo")])
    names = [x509.DNSName(text) for text in dict.fromkeys([host, "localhost"])]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(
            x509.SubjectAlternativeName([*names, x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def write_certificate(edge: Path, given: Mapping[str, str], *, production: bool) -> None:
    """The operator's own certificate, or in demo mode one that is made here."""
    given_files = Path("/tls")
    certificate, key = given_files / "fullchain.pem", given_files / "privkey.pem"
    if certificate.exists() and key.exists():
        write(edge / "tls.crt", certificate.read_text(), NGINX)
        write(edge / "tls.key", key.read_text(), NGINX)
    elif production:
        (edge / "tls.crt").unlink(missing_ok=True)
        if "edge" in given.get("COMPOSE_PROFILES", "").split(","):
            raise NotPreparedError(
                "EDGE_TLS_FOLDER has no fullchain.pem and privkey.pem. Set it in .env to a folder with both."
            )
    elif not (edge / "tls.crt").exists():
        made, private = self_signed("localhost")
        write(edge / "tls.crt", made, NGINX)
        write(edge / "tls.key", private, NGINX)


def prepare(root: Path, given: Mapping[str, str]) -> None:
    mode = given.get("AMANI_MODE", "")
    if mode not in ("demo", "production"):
        raise NotPreparedError(f"AMANI_MODE is {mode!r}; it must be demo or production.")
    production = mode == "production"
    values = read_secrets(root, given, production=production)

    files: list[tuple[str, int, dict[str, str]]] = [
        ("amani", AMANI, for_amani(values, given)),
        ("migrate", AMANI, for_migrate(values, given)),
        ("bank", AMANI, {"key": values["PAYMENT_SANDBOX_KEY"]}),
        ("postgres", POSTGRES, {"password": values["POSTGRES_PASSWORD"]}),
        (
            "redis",
            REDIS,
            {
                "password": values["REDIS_PASSWORD"],
                "password.conf": f"requirepass {json.dumps(values['REDIS_PASSWORD'])}\n",
            },
        ),
        ("prometheus", NOBODY, for_prometheus(values, production=production)),
        (
            "alertmanager",
            NOBODY,
            {"alertmanager.yml": alertmanager_configuration(given.get("PAGERDUTY_EVENTS_URL", ""))},
        ),
        ("grafana", GRAFANA, {"admin_password": values["GRAFANA_ADMIN_PASSWORD"]}),
        ("postgres-exporter", NOBODY, {"password": exporter_password(values["POSTGRES_PASSWORD"])}),
        (
            "redis-exporter",
            REDIS_EXPORTER,
            {"passwords.json": json.dumps({"redis://redis:6379": values["REDIS_PASSWORD"]})},
        ),
        (
            "edge",
            NGINX,
            {
                "staff.conf": allowed("EDGE_STAFF_NETWORKS", given),
                "webhook.conf": allowed("EDGE_WEBHOOK_NETWORKS", given),
                "metrics.conf": allowed("EDGE_METRICS_NETWORKS", given),
                "redirect.conf": redirect(given.get("EDGE_HTTPS_PORT", "8443")),
            },
        ),
    ]
    for name, owner, contents in files:
        made = folder(root, name, owner)
        for file, content in contents.items():
            write(made / file, content, owner)
    write_alertmanager_secrets(root, values, given)
    write_certificate(root / "edge", given, production=production)
    for demo_login in (root / "amani" / "demo_password", root / "migrate" / "demo_password"):
        if production:
            demo_login.unlink(missing_ok=True)
        else:
            write(demo_login, generated_once(root, "demo_password", demo_password), AMANI)


def write_alertmanager_secrets(root: Path, values: Mapping[str, str], given: Mapping[str, str]) -> None:
    """A secret that is not set has no file: Alertmanager then fails that send only."""
    made = folder(root / "alertmanager", "secrets", NOBODY)
    contents = {
        "alert_webhook_token": values["ALERT_WEBHOOK_TOKEN"],
        "slack_webhook_url": given.get("SLACK_WEBHOOK_URL", ""),
        "pagerduty_api_key": given.get("PAGERDUTY_API_KEY", ""),
    }
    for name, value in contents.items():
        if value:
            write(made / name, value, NOBODY)
        else:
            (made / name).unlink(missing_ok=True)


def give_to_amani(folder: Path) -> None:
    """Has Amani write into a volume that another service reads. A volume belongs to who mounts it first."""
    os.chown(folder, AMANI, AMANI)
    folder.chmod(0o755)


def main() -> int:
    try:
        prepare(Path(sys.argv[1]), os.environ)
        for folder in map(Path, sys.argv[2:]):
            give_to_amani(folder)
    except NotPreparedError as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"The secrets cannot be written: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
