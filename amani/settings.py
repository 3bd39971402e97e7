"""Reads every setting of Amani, once, from the environment.

Values come from the process environment, then `.env`, then `.run/env` (exists while `make run` runs); the
first that sets a variable wins. A secret `X` can also be set as `X_FILE`, the path of a file that contains
it. docs/configuration.md lists all variables; a test compares it with this file.
"""

import os
from base64 import urlsafe_b64encode
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy
from dotenv import dotenv_values
from environs import FileAwareEnv, validate

from amani.appearance import UNFOLD  # noqa: F401  (Django Unfold's settings)
from amani.database_url import read_database_url
from amani.redis_url import read_redis_url
from core.arriving import LONGEST_COLLECTED_BODY
from observability.severities import SEVERITIES, plain
from observability.telemetry.logs.formatting import logging_config

SHORTEST_TOKEN = 16  # characters
SHORTEST_KEY = 32
BASE_DIR = Path(__file__).resolve().parent.parent


def load_env_file(path: Path) -> None:
    """Adds the variables of the file to the environment. An empty `NAME=`, as in .env.example, is ignored."""
    for name, value in dotenv_values(path).items():
        if value:
            os.environ.setdefault(name, value)


env = FileAwareEnv(strip_whitespace=True)
if "AMANI_IGNORE_ENV_FILES" not in os.environ:  # tests must not depend on a developer's .env
    for env_file in (BASE_DIR / ".env", BASE_DIR / ".run" / "env"):
        load_env_file(env_file)


def required_in_production(name: str, value: str) -> str:
    """Returns `value`. Raises ImproperlyConfigured, naming the variable, if it is empty and DEBUG is off."""
    if not value and not DEBUG:
        message = f"{name} is not set. Set {name} (or {name}_FILE), or DEBUG=true for development."
        raise ImproperlyConfigured(message)
    return value


def hours_within_a_year(values: list[float]) -> None:
    """Raises ValidationError for a number of hours that is not above zero, or is more than a year."""
    for hours in values:
        validate.Range(0, 366 * 24, min_inclusive=False)(hours)


def long_enough(name: str, value: str, shortest: int) -> str:
    """Returns `value`. Raises ImproperlyConfigured, naming the variable, for a secret that can be guessed.

    `shortest`: characters. An empty value (the variable is not set) and development may be anything.
    """
    if value and len(value) < shortest and not DEBUG:
        message = (
            f"{name} is shorter than {shortest} characters: it could be guessed. "
            "Generate one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
        raise ImproperlyConfigured(message)
    return value


def token(name: str) -> str:
    """Returns the token that a caller of Amani must send or sign with; "" if the variable is not set."""
    return long_enough(name, env.str(name, ""), SHORTEST_TOKEN)


def parse_routes(text: str) -> dict[str, tuple[str, ...]]:
    """Parses `"critical=pagerduty+slack,info="` to `{"critical": ("pagerduty", "slack"), "info": ()}`."""
    routes: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        severity, separator, channels = part.partition("=")
        if not separator or severity not in SEVERITIES:
            message = (
                f"ALERT_ROUTES: {part!r} is not severity=channel+channel with a severity of {SEVERITIES}."
            )
            raise ImproperlyConfigured(message)
        routes[severity] = tuple(filter(None, channels.split("+")))
    return {severity: routes.get(severity, ()) for severity in SEVERITIES}


def parse_severity_map(text: str) -> dict[str, str]:
    """Parses `"Blocker=critical,meh=info"` to `{"blocker": "critical", "meh": "info"}`."""
    meanings: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _separator, severity = part.partition("=")
        if not plain(name) or severity.strip().lower() not in SEVERITIES:
            message = (
                f"ALERT_SEVERITY_MAP: {part!r} is not name=severity with a severity of {SEVERITIES}, "
                "as in blocker=critical,meh=info."
            )
            raise ImproperlyConfigured(message)
        if plain(name) in SEVERITIES:
            message = (
                f"ALERT_SEVERITY_MAP: {part!r} would change the meaning of {plain(name)!r}. "
                "To send its alerts to other channels, use ALERT_ROUTES."
            )
            raise ImproperlyConfigured(message)
        meanings[plain(name)] = severity.strip().lower()
    return meanings


def annotation_names(variable: str, default: str) -> tuple[str, ...]:
    """Returns the annotations to try, in order. Always includes the one that Amani's own rules use."""
    given = [name.strip() for name in env.str(variable, default).split(",") if name.strip()]
    return tuple(dict.fromkeys([*given, default.partition(",")[0]]))


def read_address(variable: str, text: str) -> tuple[str, int] | None:
    """Parses `"0.0.0.0:9101"` to `("0.0.0.0", 9101)`, `"[::]:9101"` to `("::", 9101)`, `""` to None."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if is_bracketed else host)
    except ValueError:
        address = None
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16
    if address is None or (address.version == 6) is not is_bracketed or not is_port:
        message = f"{variable}: {text!r} is not an address and a port, as in 0.0.0.0:9101 or [::]:9101."
        raise ImproperlyConfigured(message)
    return str(address), int(port)


def commit_of(checkout: Path) -> str:
    """Returns the id of the checked-out commit from git's own files, or "" if there are none."""
    git = checkout / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        name = head.removeprefix("ref: ")
        return head if name == head else (git / name).read_text().strip()
    except OSError:
        return ""


# --- Version and environment ---

VERSION = "0.1.0"
COMMIT = env.str("COMMIT", "") or commit_of(BASE_DIR)
RELEASE = f"amani-backend@{VERSION}" + (f"+{COMMIT[:12]}" if COMMIT else "")
DEBUG = env.bool("DEBUG", False)
ENVIRONMENT = env.str("ENVIRONMENT", "development" if DEBUG else "production")
PUBLIC_URL = env.str("PUBLIC_URL", "http://localhost:8000").rstrip("/")
SECRET_KEY = required_in_production("SECRET_KEY", env.str("SECRET_KEY", ""))
long_enough("SECRET_KEY", SECRET_KEY, SHORTEST_KEY)
if not SECRET_KEY:
    SECRET_KEY = "development-only-" + "0" * 40
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", [])
for earlier_key in SECRET_KEY_FALLBACKS:
    long_enough("SECRET_KEY_FALLBACKS", earlier_key, SHORTEST_KEY)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])

# --- Applications and middleware ---

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "amani.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.headless",
    "ninja",
    "pgtrigger",
    "accounts",
    "kyc",
    "escrow",
    "observability",  # before django_prometheus, whose metrics are kept as observability says
    "django_prometheus",
    "core",
    "amani",
]

MIDDLEWARE = [
    "observability.telemetry.middleware.RequestLogMiddleware",
    "observability.telemetry.traces.requests.TracingMiddleware",
    "observability.telemetry.errors.performance.SentryTransactionMiddleware",
    "observability.telemetry.middleware.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "amani.content_policy.content_policy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "amani.hosts.HostMiddleware",
    "amani.throttling.AddressMiddleware",  # before whatever reads a body
    "django.middleware.csrf.CsrfViewMiddleware",
    "observability.telemetry.users.UserMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.known_devices.KnownDeviceMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "amani.harmless_pages.harmless_pages",  # inside of HostMiddleware, which writes the length
]

ROOT_URLCONF = "amani.urls"
WSGI_APPLICATION = "amani.wsgi.application"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "amani" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Accounts and sessions ---

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}", "OPTIONS": options}
    for validator, options in (
        ("UserAttributeSimilarityValidator", {"user_attributes": ("email", "full_name")}),
        ("MinimumLengthValidator", {}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
] + [{"NAME": "accounts.passwords.OneSpellingValidator"}]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
CSRF_FAILURE_VIEW = "amani.error_pages.csrf_failure"
LOGIN_URL = reverse_lazy("account_login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
SESSION_ENGINE = "accounts.session_store"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
STAFF_MFA_REQUIRED = env.bool("STAFF_MFA_REQUIRED", not DEBUG)
STAFF_SESSION_HOURS = env.float("STAFF_SESSION_HOURS", 12.0, validate=validate.Range(0, min_inclusive=False))
STAFF_IDLE_MINUTES = env.float("STAFF_IDLE_MINUTES", 60.0, validate=validate.Range(2))
FRONTEND_URL = env.str("FRONTEND_URL", PUBLIC_URL).rstrip("/")
# Number of proxies that append to X-Forwarded-For. Earlier entries come from the client and are not trusted.
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", 0, validate=validate.Range(0))

# allauth. Codes instead of links: an app has no page to open, and a mail scanner cannot use up a code.
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
CODE_LIFETIME_SECONDS = 15 * 60  # of codes by mail; the mail may take some of it
CODE_ATTEMPTS = 3
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = CODE_LIFETIME_SECONDS
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_MAX_ATTEMPTS = CODE_ATTEMPTS
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = CODE_LIFETIME_SECONDS
ACCOUNT_PASSWORD_RESET_BY_CODE_MAX_ATTEMPTS = CODE_ATTEMPTS
# accounts/limits.py counts these. "ip" is the source, "key" what the name says.
ACCOUNT_RATE_LIMITS = {
    "sign_in_by_device": "30/m/key",
    "sign_in_by_source": "30/m/ip",
    "wrong_password_by_device": "5/5m/key",
    "wrong_password_by_source": "10/m/ip",
    "wrong_password_by_address_and_source": "5/5m/key",
    "wrong_password_by_address": "50/h/key",
    "code_by_device": "5/10m/key",
    "code_by_source": "20/m/ip",
    "code_by_address_and_source": "5/10m/key",
    "code_by_address": "20/h/key",
    # django-allauth's own would count by source alone, so strangers behind the same IP address could use up
    # what a person needs to get in. A code has CODE_ATTEMPTS, and only who knows the password is asked for a
    # second factor, whose wrong codes count for each user.
    "login": "",
    "reset_password": "",
    "reset_password_from_key": "",
    "login_failed": "5/5m/key",
}
ACCOUNT_FORMS = {"reset_password": "accounts.password_reset.RequestCodeForm"}
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True  # notifies users when their password or second factor changes
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if PUBLIC_URL.startswith("https://") else "http"
HEADLESS_FRONTEND_URLS = {
    "account_signup": f"{FRONTEND_URL}/signup",
    "account_reset_password": f"{FRONTEND_URL}/password/reset",
    "account_reset_password_from_key": f"{FRONTEND_URL}/password/reset/{{key}}",
    "account_confirm_email": f"{FRONTEND_URL}/verify-email/{{key}}",
}
USERSESSIONS_ADAPTER = "accounts.sessions.SessionsAdapter"
MFA_ADAPTER = "accounts.second_factor.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Amani"
MFA_TOTP_TOLERANCE = 1  # a telephone's clock may be half a minute off

# --- The API ---

API_REQUESTS_PER_MINUTE_PER_USER = env.int("API_REQUESTS_PER_MINUTE_PER_USER", 300)
API_UPLOADS_PER_MINUTE_PER_USER = env.int("API_UPLOADS_PER_MINUTE_PER_USER", 10)
API_REQUESTS_PER_MINUTE_PER_ADDRESS = env.int("API_REQUESTS_PER_MINUTE_PER_ADDRESS", 600)
# How long the first answer to an Idempotency-Key is given again.
IDEMPOTENCY_KEY_HOURS = env.int("IDEMPOTENCY_KEY_HOURS", 72, validate=validate.Range(24))

# --- KYC ---

ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", [])
required_in_production("ENCRYPTION_KEYS", "".join(ENCRYPTION_KEYS))
KYC_SEARCH_KEY = required_in_production("KYC_SEARCH_KEY", env.str("KYC_SEARCH_KEY", ""))
if not ENCRYPTION_KEYS:
    ENCRYPTION_KEYS = [urlsafe_b64encode(b"development-only".ljust(32, b"0")).decode()]
if not KYC_SEARCH_KEY:
    KYC_SEARCH_KEY = "development-only-" + "0" * 40
KYC_MAX_FILE_BYTES = env.int("KYC_MAX_FILE_BYTES", 8 * 1024 * 1024)
KYC_RETENTION_DAYS = env.int("KYC_RETENTION_DAYS", 5 * 365)
KYC_REJECTED_RETENTION_DAYS = env.int("KYC_REJECTED_RETENTION_DAYS", 90)
KYC_APPROVAL_DAYS = env.int("KYC_APPROVAL_DAYS", 2 * 365)
KYC_REVIEW_TARGET_HOURS = env.int("KYC_REVIEW_TARGET_HOURS", 24)
KYC_CLAIM_MINUTES = env.int("KYC_CLAIM_MINUTES", 30)
KYC_STORAGE_ROOT = env.str("KYC_STORAGE_ROOT", str(BASE_DIR / ".run" / "kyc"))
KYC_S3_BUCKET = env.str("KYC_S3_BUCKET", "")
KYC_S3_ENDPOINT_URL = env.str("KYC_S3_ENDPOINT_URL", "")
KYC_S3_REGION = env.str("KYC_S3_REGION", "")
KYC_S3_ACCESS_KEY_ID = env.str("KYC_S3_ACCESS_KEY_ID", "")
KYC_S3_SECRET_ACCESS_KEY = env.str("KYC_S3_SECRET_ACCESS_KEY", "")
KYC_PROVIDERS = ["manual", "smile_id"]  # those of kyc/providers/registry.py, which no settings can import
KYC_PROVIDER = env.str("KYC_PROVIDER", "manual", validate=validate.OneOf(KYC_PROVIDERS))
SMILE_ID_PARTNER_ID = env.str("SMILE_ID_PARTNER_ID", "")
SMILE_ID_API_KEY = env.str("SMILE_ID_API_KEY", "")
SMILE_ID_BASE_URL = env.str("SMILE_ID_BASE_URL", "https://testapi.smileidentity.com/v1").rstrip("/")
# An image of a passport must never be written to a temporary file unencrypted.
FILE_UPLOAD_HANDLERS = ["kyc.documents.upload.BoundedUploadHandler"]

# --- Payments ---

PAYMENT_PROVIDERS = [
    "sandbox",
    "paystack",
]  # those of escrow/payments/registry.py, which no settings can import
PAYMENT_PROVIDER = env.str("PAYMENT_PROVIDER", "sandbox", validate=validate.OneOf(PAYMENT_PROVIDERS))
PAYMENT_SANDBOX_URL = env.str("PAYMENT_SANDBOX_URL", "http://127.0.0.1:8026").rstrip("/")
PAYMENT_SANDBOX_KEY = token("PAYMENT_SANDBOX_KEY")
PAYMENT_SANDBOX_IN_PRODUCTION = env.bool("PAYMENT_SANDBOX_IN_PRODUCTION", False)
# A provider that settled a payout may still report later that its money came back.
PAYOUT_RECHECK_HOURS: list[float] = env.list(
    "PAYOUT_RECHECK_HOURS", [1.0, 24.0, 72.0], subcast=float, validate=hours_within_a_year
)
PAYSTACK_SECRET_KEY = env.str("PAYSTACK_SECRET_KEY", "")
PAYSTACK_SECRET_KEY_PREVIOUS = env.str("PAYSTACK_SECRET_KEY_PREVIOUS", "")
PAYSTACK_BASE_URL = env.str("PAYSTACK_BASE_URL", "https://api.paystack.co").rstrip("/")
FILE_UPLOAD_MAX_MEMORY_SIZE = 4 * KYC_MAX_FILE_BYTES  # of the routes in amani/frame.py that take files

# --- Escrow ---

ESCROW_PROPOSAL_DAYS = env.int("ESCROW_PROPOSAL_DAYS", 14)
ESCROW_FUNDING_DAYS = env.int("ESCROW_FUNDING_DAYS", 7)
ESCROW_INVITATION_DAYS = env.int("ESCROW_INVITATION_DAYS", 7)
ESCROW_INVITATIONS_PER_DAY = env.int("ESCROW_INVITATIONS_PER_DAY", 20)
ESCROW_RELEASE_RETRY_SECONDS = env.int("ESCROW_RELEASE_RETRY_SECONDS", 900)

# --- Database: PostgreSQL, connections kept open ---

DATABASE_URL = required_in_production("DATABASE_URL", env.str("DATABASE_URL", ""))
# Behind a pooler that gives every transaction another session (core/pooling.py).
DATABASE_TRANSACTION_POOLING = env.bool("DATABASE_TRANSACTION_POOLING", False)
DATABASES = {
    "default": read_database_url(DATABASE_URL or "postgresql://postgres@127.0.0.1:5432/amani")
    | {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": None,  # measured: a new connection for each request makes it five times as expensive
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": DATABASE_TRANSACTION_POOLING,
    }
}
# The role of web, worker, beat and commands, where migrate has another (core/database_roles.py).
DATABASE_APPLICATION_ROLE = env.str("DATABASE_APPLICATION_ROLE", "")
MIGRATE_WAIT_SECONDS = env.int("MIGRATE_WAIT_SECONDS", 600)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Celery: only starts work. All state is in PostgreSQL, none of it in Redis ---

REDIS_URL = read_redis_url(
    required_in_production("REDIS_URL", env.str("REDIS_URL", "")) or "redis://127.0.0.1:6379/0"
)
CACHES = {
    "default": {
        "BACKEND": "observability.telemetry.traces.cache.TracedRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "amani",
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
# Tasks only start the processing of rows: a lost one delays it by a second. With late acknowledgement, a task
# that outlives its connection to Redis would end the worker (kombu acknowledges on the closed channel).
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 110  # seconds; a hanging child occupies a sender's slot; no task takes half as long
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = env.int("CELERY_MAX_TASKS_PER_CHILD", 1000)
# Two senders for each of two channels, one for mails, and one more child for when all of them hang.
CELERY_WORKER_CONCURRENCY = env.int("CELERY_CONCURRENCY", 6)
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_DB_REUSE_MAX = 10**9  # else a new connection for every task; amani/celery.py closes broken ones
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# If Redis refuses writes (full, a replica, unable to save), the worker waits as for a stopped Redis: else it
# would end at its first command and be restarted again and again.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 120,  # a little over the longest task
    "unacked_restore_interval": 5,  # kombu's default of 10 x 10 s turns 2 minutes into nearly 4
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "health_check_interval": 10,
}
CELERY_BEAT_SCHEDULER = "observability.telemetry.one_beat:OneBeat"
CELERY_BEAT_SCHEDULE = {
    "deliver-due": {
        "task": "observability.tasks.deliver_due",
        "schedule": timedelta(seconds=1),
        "options": {"expires": 5},
    },
    "watch-pipeline": {
        "task": "observability.tasks.watch_pipeline",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "publish-rules": {
        "task": "observability.tasks.publish_rules",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "apply-silences": {
        "task": "observability.tasks.apply_silences",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 5},
    },
    "watch-silences": {
        "task": "observability.tasks.watch_silences",
        "schedule": timedelta(seconds=15),
        "options": {"expires": 15},
    },
    "watch-published-rules": {
        "task": "observability.tasks.watch_published_rules",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 300},
    },
    "forget-old-history": {
        "task": "observability.tasks.forget_old_history",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3600},
    },
    "compute-previews": {
        "task": "observability.tasks.compute_previews",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "accounts-forget-ended-sessions": {
        "task": "accounts.tasks.forget_ended_sessions",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3600},
    },
    "accounts-send-mails": {
        "task": "accounts.tasks.send_mails",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 5},
    },
    "accounts-mail-snapshot": {
        "task": "accounts.tasks.take_mail_snapshot",
        "schedule": timedelta(seconds=15),
        "options": {"expires": 15},
    },
    "accounts-forget-old-mails": {
        "task": "accounts.tasks.forget_old_mails",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3600},
    },
    "kyc-snapshot": {
        "task": "kyc.tasks.take_snapshot",
        "schedule": timedelta(seconds=15),
        "options": {"expires": 15},
    },
    "escrow-snapshot": {
        "task": "escrow.tasks.take_snapshot",
        "schedule": timedelta(seconds=15),
        "options": {"expires": 15},
    },
    "kyc-run-checks": {
        "task": "kyc.tasks.run_checks",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "kyc-forget-old-callbacks": {
        "task": "kyc.tasks.forget_old_callbacks",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3600},
    },
    "escrow-run-payouts": {
        "task": "escrow.tasks.run_payouts",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "escrow-run-settled": {
        "task": "escrow.tasks.run_settled",
        "schedule": timedelta(seconds=60),
        "options": {"expires": 60},
    },
    "escrow-run-collections": {
        "task": "escrow.tasks.run_collections",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "escrow-forget-old-payment-events": {
        "task": "escrow.tasks.forget_old_payment_events",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3600},
    },
    "escrow-forget-idempotency-keys": {
        "task": "escrow.tasks.forget_idempotency_keys",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 600},
    },
    "kyc-lapse-claims": {
        "task": "kyc.tasks.lapse_claims",
        "schedule": timedelta(seconds=60),
        "options": {"expires": 60},
    },
    "kyc-delete-due-documents": {
        "task": "kyc.tasks.delete_due_documents",
        "schedule": timedelta(minutes=15),
        "options": {"expires": 600},
    },
    "kyc-sweep-document-files": {
        "task": "kyc.tasks.sweep_document_files",
        "schedule": timedelta(hours=6),
        "options": {"expires": 3600},
    },
    "escrow-release-due": {
        "task": "escrow.tasks.release_due",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "escrow-expire": {
        "task": "escrow.tasks.expire_escrows",
        "schedule": timedelta(seconds=60),
        "options": {"expires": 60},
    },
    "kyc-expire-approvals": {
        "task": "kyc.tasks.expire_approvals",
        "schedule": timedelta(seconds=60),
        "options": {"expires": 60},
    },
}

# --- Alerts: intake, routing, delivery ---

ALERT_WEBHOOK_TOKEN = token("ALERT_WEBHOOK_TOKEN")
ALERT_WEBHOOK_TOKEN_PREVIOUS = token("ALERT_WEBHOOK_TOKEN_PREVIOUS")
ALERT_WEBHOOK_MAX_BYTES = env.int("ALERT_WEBHOOK_MAX_BYTES", 32 * 1024 * 1024)
ALERT_ROUTES = parse_routes(
    env.str("ALERT_ROUTES", "critical=pagerduty+slack,error=slack,warning=slack,info=")
)
ALERT_SEVERITY_MAP = parse_severity_map(env.str("ALERT_SEVERITY_MAP", ""))
ALERT_SUMMARY_ANNOTATIONS = annotation_names("ALERT_SUMMARY_ANNOTATIONS", "summary,title,message")
ALERT_DESCRIPTION_ANNOTATIONS = annotation_names("ALERT_DESCRIPTION_ANNOTATIONS", "description,message")
ALERT_RUNBOOK_ANNOTATIONS = annotation_names("ALERT_RUNBOOK_ANNOTATIONS", "runbook_url,runbook")
ALERT_DASHBOARD_ANNOTATIONS = annotation_names("ALERT_DASHBOARD_ANNOTATIONS", "dashboard_url,dashboard")
ALERT_GIVE_UP_AFTER_SECONDS = env.int("ALERT_GIVE_UP_AFTER_SECONDS", 6 * 3600)
ALERT_HISTORY_DAYS = env.int("ALERT_HISTORY_DAYS", 365, validate=validate.Range(0))
ALERT_DIGEST_THRESHOLD = env.int("ALERT_DIGEST_THRESHOLD", 5)
# The Watchdog arrives every minute; operators must be notified of its absence within five.
WATCHDOG_TIMEOUT_SECONDS = env.int("WATCHDOG_TIMEOUT_SECONDS", 240)
WATCHDOG_FIRST_TIMEOUT_SECONDS = env.int("WATCHDOG_FIRST_TIMEOUT_SECONDS", 0 if DEBUG else 1800)
ALERT_UNMENTIONED_AFTER_SECONDS = env.int("ALERT_UNMENTIONED_AFTER_SECONDS", 3 * 3600)
PROMETHEUS_SILENT_AFTER_SECONDS = env.int("PROMETHEUS_SILENT_AFTER_SECONDS", 60)
PROMETHEUS_SETTLES_IN_SECONDS = env.int("PROMETHEUS_SETTLES_IN_SECONDS", 120)
NOTIFIER_CONNECT_TIMEOUT = env.float("NOTIFIER_CONNECT_TIMEOUT", 3.05)
NOTIFIER_READ_TIMEOUT = env.float("NOTIFIER_READ_TIMEOUT", 10.0)

SLACK_WEBHOOK_URL = env.str("SLACK_WEBHOOK_URL", "")
SLACK_MESSAGES_PER_SECOND = env.float("SLACK_MESSAGES_PER_SECOND", 1.0)
PAGERDUTY_API_KEY = env.str("PAGERDUTY_API_KEY", "")
PAGERDUTY_SERVICE_ID = env.str("PAGERDUTY_SERVICE_ID", "")
PAGERDUTY_EVENTS_URL = env.str("PAGERDUTY_EVENTS_URL", "https://events.pagerduty.com/v2/enqueue")
PAGERDUTY_EVENTS_PER_MINUTE = env.float("PAGERDUTY_EVENTS_PER_MINUTE", 120.0)

PROMETHEUS_URL = env.str("PROMETHEUS_URL", "http://localhost:9090").rstrip("/")
PROMETHEUS_USER = env.str("PROMETHEUS_USER", "amani")
PROMETHEUS_PASSWORD = env.str("PROMETHEUS_PASSWORD", "")
ALERTMANAGER_URL = env.str("ALERTMANAGER_URL", "http://localhost:9093").rstrip("/")
# As operators reach them, which the addresses above need not be: for links and commands.
PROMETHEUS_PUBLIC_URL = env.str("PROMETHEUS_PUBLIC_URL", PROMETHEUS_URL).rstrip("/")
ALERTMANAGER_PUBLIC_URL = env.str("ALERTMANAGER_PUBLIC_URL", ALERTMANAGER_URL).rstrip("/")
# The folder of rule files that Prometheus reads and Amani writes; or the token with which they are fetched
# for a Prometheus elsewhere. Without either Amani publishes no rules.
ALERT_RULES_FOLDER = env.str("ALERT_RULES_FOLDER", "")
ALERT_RULES_TOKEN = token("ALERT_RULES_TOKEN")
if ALERT_RULES_FOLDER and ALERT_RULES_TOKEN:
    message = "Set ALERT_RULES_FOLDER or ALERT_RULES_TOKEN, not both: the rules are published in one place."
    raise ImproperlyConfigured(message)
SILENCE_REMINDER_MINUTES = env.int("SILENCE_REMINDER_MINUTES", 30, validate=validate.Range(0))
SILENCE_MAX_DAYS = env.int("SILENCE_MAX_DAYS", 7, validate=validate.Range(1, 90))
RUNBOOK_BASE_URL = env.str("RUNBOOK_BASE_URL", f"{PUBLIC_URL}/runbooks").rstrip("/")

# --- Metrics and logs ---

PROMETHEUS_MULTIPROC_DIR = env.str("PROMETHEUS_MULTIPROC_DIR", "")
METRICS_BIND = read_address("METRICS_BIND", env.str("METRICS_BIND", ""))
if METRICS_BIND and not PROMETHEUS_MULTIPROC_DIR:
    message = "METRICS_BIND serves the metrics of PROMETHEUS_MULTIPROC_DIR, which is not set."
    raise ImproperlyConfigured(message)
METRICS_TOKEN = token("METRICS_TOKEN")
METRICS_ALLOWED_NETWORKS = [
    ip_network(network)
    for network in env.list("METRICS_ALLOWED_NETWORKS", ["127.0.0.0/8", "::1/128"] if DEBUG else [])
]
LOG_LEVEL = env.str("LOG_LEVEL", "INFO").upper()
LOG_FORMAT = env.str("LOG_FORMAT", "console" if DEBUG else "json")
LOGGING = logging_config(LOG_LEVEL, LOG_FORMAT)

# --- Errors: Sentry ---

SENTRY_DSN = env.str("SENTRY_DSN", "")
SENTRY_TRACES_SAMPLE_RATE = env.float("SENTRY_TRACES_SAMPLE_RATE", 0.0, validate=validate.Range(0, 1))
SENTRY_PROFILES_SAMPLE_RATE = env.float("SENTRY_PROFILES_SAMPLE_RATE", 0.0, validate=validate.Range(0, 1))
SENTRY_SEND_EMAIL = env.bool("SENTRY_SEND_EMAIL", False)

# --- Traces: OpenTelemetry ---

SERVICE_NAME = "amani-backend"
TRACING_ENABLED = env.bool("TRACING_ENABLED", False)
TRACING_EXPORTER = env.str(
    "TRACING_EXPORTER", "jaeger", validate=validate.OneOf(["jaeger", "otlp", "console"])
)
TRACING_SAMPLE_RATE: float | None = env.float("TRACING_SAMPLE_RATE", None, validate=validate.Range(0, 1))
if TRACING_SAMPLE_RATE is None and "OTEL_TRACES_SAMPLER" not in os.environ:
    TRACING_SAMPLE_RATE = 1.0 if DEBUG else 0.1
TRUSTED_TRACERS: list[str] = env.list("TRACING_TRUSTED_NETWORKS", [])
TRACING_TRUSTED_NETWORKS = [ip_network(network) for network in TRUSTED_TRACERS]
OTLP_ENDPOINT = env.str("OTLP_ENDPOINT", "")
OTLP_HEADERS = env.str("OTLP_HEADERS", "")
OTLP_PROTOCOL = env.str("OTLP_PROTOCOL", "", validate=validate.OneOf(["", "grpc", "http/protobuf"]))
OTEL_BSP_SCHEDULE_DELAY = env.int("OTEL_BSP_SCHEDULE_DELAY", 1000, validate=validate.Range(1))
OTEL_BSP_MAX_QUEUE_SIZE = env.int("OTEL_BSP_MAX_QUEUE_SIZE", 2048, validate=validate.Range(1))
OTEL_BSP_MAX_EXPORT_BATCH_SIZE = env.int("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, validate=validate.Range(1))

# --- Links on an alert's page ---

JAEGER_URL = env.str("JAEGER_URL", "http://localhost:16686").rstrip("/")
SENTRY_URL = env.str("SENTRY_URL", "").rstrip("/")
GRAFANA_URL = env.str("GRAFANA_URL", "").rstrip("/")
LOGS_URL = env.str("LOGS_URL", "")

# --- HTTP security ---

HTTPS = PUBLIC_URL.startswith("https://")
TRUST_PROXY_SCHEME = env.bool("TRUST_PROXY_SCHEME", False)
if TRUST_PROXY_SCHEME:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL, *env.list("CSRF_TRUSTED_ORIGINS", [])]
# A redirect would turn Alertmanager's POST into a GET and lose the alert, so intake is exempt. Django
# compares with the whole path, which begins with SCRIPT_NAME where gunicorn's environment has one.
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", HTTPS)
SECURE_REDIRECT_EXEMPT = [r"(^|/)api/v1/(alerts/webhook/?|ping|health|readiness)$", r"(^|/)metrics$"]
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", 31_536_000 if HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", HTTPS)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", HTTPS)
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = LONGEST_COLLECTED_BODY

# --- Language, time, files, mail ---

EMAIL_HOST = env.str("EMAIL_HOST", "")
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_SSL = env.bool("EMAIL_USE_SSL", False)
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", not EMAIL_USE_SSL)
EMAIL_PORT = env.int("EMAIL_PORT", 465 if EMAIL_USE_SSL else 587)
EMAIL_TIMEOUT = env.float("EMAIL_TIMEOUT", 20.0, validate=validate.Range(0, 60, min_inclusive=False))
EMAIL_GIVE_UP_AFTER_SECONDS = env.int("EMAIL_GIVE_UP_AFTER_SECONDS", 24 * 3600, validate=validate.Range(1))
EMAIL_HISTORY_DAYS = env.int("EMAIL_HISTORY_DAYS", 30, validate=validate.Range(0))
EMAIL_BACKEND = (
    "accounts.mail.backend.OutboxBackend" if EMAIL_HOST else "django.core.mail.backends.console.EmailBackend"
)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Amani <no-reply@localhost>")

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(BASE_DIR / "staticfiles")))


def kyc_storage() -> dict[str, Any]:
    """Returns the storage of the encrypted documents: a bucket if KYC_S3_BUCKET is set, else a folder."""
    if not KYC_S3_BUCKET:
        options: dict[str, Any] = {
            "location": KYC_STORAGE_ROOT,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        }
        return {"BACKEND": "kyc.documents.folder.DurableFolder", "OPTIONS": options}
    from boto3.s3.transfer import TransferConfig  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    client = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": 2},
        request_checksum_calculation="when_required",  # other stores than Amazon's lack its newer checksums
        response_checksum_validation="when_required",
    )
    options = {
        "client_config": client,
        "transfer_config": TransferConfig(multipart_threshold=8 * KYC_MAX_FILE_BYTES, use_threads=False),
        "bucket_name": KYC_S3_BUCKET,
        "endpoint_url": KYC_S3_ENDPOINT_URL or None,
        "region_name": KYC_S3_REGION or None,
        "access_key": KYC_S3_ACCESS_KEY_ID or None,
        "secret_key": KYC_S3_SECRET_ACCESS_KEY or None,
        # No ACL: objects are private without one, and buckets with disabled ACLs refuse any.
        "file_overwrite": False,
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "kyc": kyc_storage(),
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG
# Development looks for a file when it is asked for, instead of listing all files at each start.
WHITENOISE_AUTOREFRESH = DEBUG
