"""All settings, from the environment only. docs/configuration.md lists every name."""

import os
import secrets as _random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from drcenter import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent
# Everything the product writes on this machine: its database, its keys, scratch places, logs.
STATE_DIR = Path(env.text("DRC_STATE", str(BASE_DIR / "var"))).resolve()


def _prepared(directory: Path) -> Path:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"DRC_STATE: {directory} cannot be made: {error.strerror}.") from error
    return directory


def _secret_key() -> str:
    """DRC_SECRET_KEY, or one that is made at the first start and kept in the state directory."""
    if given := env.text("DRC_SECRET_KEY"):
        return given
    path = STATE_DIR / "secret_key"
    if not path.exists():
        # Several processes may start at once: whole, or not at all, and the first one stays.
        with NamedTemporaryFile("w", dir=STATE_DIR) as fresh:
            fresh.write(_random.token_urlsafe(50))
            fresh.flush()
            with suppress(FileExistsError):
                os.link(fresh.name, path)
    return path.read_text()


_prepared(STATE_DIR)
SECRET_KEY = _secret_key()
DEBUG = env.truth("DRC_DEBUG", False)
ALLOWED_HOSTS = env.words("DRC_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("DRC_ORIGINS")
BEHIND_TLS = env.truth("DRC_BEHIND_TLS", False)
BIND = env.text("DRC_BIND", "127.0.0.1:8000")
# Where people reach the panel, for links in messages.
PANEL_URL = env.text("DRC_URL", CSRF_TRUSTED_ORIGINS[0] if CSRF_TRUSTED_ORIGINS else f"http://{BIND}").rstrip(
    "/"
)
# References: a bearer token for /api/backup-status, and an identity for drills on this machine.
API_TOKEN = env.text("DRC_API_TOKEN_REFERENCE")
DRILL_IDENTITY = env.text("DRC_DRILL_IDENTITY")
# Nobody works in the panel without a second factor.
REQUIRE_MFA = env.truth("DRC_REQUIRE_MFA", False)
# Whose X-Forwarded-For is believed: addresses and networks, or "unix" for a proxy at the socket.
TRUSTED_PROXIES = env.proxies("DRC_TRUSTED_PROXIES")
# Prove PostgreSQL sets also where nothing keeps what they hold from acting as the workers' user.
PROVE_AS_SELF = env.truth("DRC_PROVE_AS_SELF", False)
# The panel's own database is backed up by itself as soon as there is a destination and a recovery key.
PROTECT_SELF = env.truth("DRC_PROTECT_SELF", True)
# How many minutes a plan waits for its approval, and an approval is good for.
APPROVAL_MINUTES = env.number("DRC_APPROVAL_MINUTES", 60)
LONG_WORKERS = env.number("DRC_LONG_WORKERS", 2)
# How many days ended jobs and their logs stay.
JOB_DAYS = env.number("DRC_JOB_DAYS", 90)

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "drcenter.apps.PanelConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "drcenter.apps.DrcenterConfig",
    "drcenter.audit",
    "drcenter.systems",
    "drcenter.notify",
    "drcenter.jobs",
    "drcenter.signin",
    "backups",
    "integrations",
    "billing_snapshots",
    "incidents",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "drcenter.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "drcenter.signin.middleware.SecondFactor",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "drcenter.middleware.DisplayTimeZone",
]

ROOT_URLCONF = "drcenter.urls"
WSGI_APPLICATION = "drcenter.wsgi.application"
DATABASES = {
    "default": env.database(env.text("DRC_DATABASE_URL", f"sqlite:///{STATE_DIR / 'drcenter.sqlite3'}"))
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"
ACCOUNT_ADAPTER = "drcenter.signin.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_SESSION_REMEMBER = True
# No mail is sent, none is needed: the panel works where there is no internet.
ACCOUNT_EMAIL_VERIFICATION = "none"
MFA_ADAPTER = "drcenter.signin.adapter.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "DR Center"
MFA_FORMS = {
    "add_webauthn": "drcenter.signin.forms.AddPasskey",
    "edit_webauthn": "drcenter.signin.forms.RenamePasskey",
    "authenticate_webauthn": "drcenter.signin.forms.SecondFactor",
    "login_webauthn": "drcenter.signin.forms.Passkey",
    "reauthenticate_webauthn": "drcenter.signin.forms.Again",
}
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_SSL_REDIRECT = BEHIND_TLS
# Probes ask from inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = int(timedelta(days=30).total_seconds()) if BEHIND_TLS else 0
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"

LANGUAGES = [("en", _("English")), ("de", _("German"))]
LANGUAGE_CODE = env.text("DRC_LANGUAGE", "en")
LOCALE_PATHS = [BASE_DIR / "drcenter" / "locale"]
TIME_ZONE = "UTC"
DISPLAY_TIME_ZONE = env.text("DRC_TIME_ZONE", "Europe/Berlin")
USE_TZ = True
FORMAT_MODULE_PATH = "drcenter.formats"

# What people upload is an identity: it stays in memory, never in a temporary file.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024

STATIC_URL = "static/"
STATIC_ROOT = _prepared(STATE_DIR / "static")
WHITENOISE_USE_FINDERS = True

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": _prepared(STATE_DIR / "cache"),
    }
}

# DESIGN.md §6: the queue is a courier. Times in seconds; `retry` lies above every time-out.
_COURIER = {"queue_limit": 1, "bulk": 1, "max_attempts": 1, "ack_failures": True, "catch_up": False}
# Its scheduler calls any function that a row names: our own ticks decide what is due.
_COURIER["scheduler"] = False
Q_CLUSTER = {
    "name": "short",
    "orm": "default",
    "workers": 2,
    "timeout": 300,
    "retry": 1800,
    "poll": 0.5,
    "recycle": 100,
    "save_limit": 200,
    "label": "Queue",
    **_COURIER,
    "ALT_CLUSTERS": {
        "long": {
            "workers": LONG_WORKERS,
            "timeout": 12 * 3600,
            "retry": 3 * 24 * 3600,
            "poll": 0.5,
            "recycle": 1,
            "save_limit": 200,
            **_COURIER,
        }
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "drcenter.logs.Redact"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redact"]}},
    "root": {"handlers": ["stderr"], "level": env.text("DRC_LOG_LEVEL", "INFO")},
    "loggers": {
        "botocore": {"level": "WARNING"},
        "boto3": {"level": "WARNING"},
        "django-q": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
    },
}

UNFOLD = {
    "SITE_TITLE": "DR Center",
    "SITE_HEADER": "DR Center",
    "SITE_SUBHEADER": _("Back up, prove, recover"),
    "SITE_URL": None,
    "SITE_SYMBOL": "health_and_safety",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "drcenter.dashboard.context",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("drcenter/icon.svg")}
    ],
    "STYLES": [lambda request: static("drcenter/panel.css")],
    "SCRIPTS": [lambda request: static("drcenter/counting.js")],
    "ACCOUNT": {"navigation": "drcenter.navigation.account"},
    "SIDEBAR": {"show_search": True, "navigation": "drcenter.navigation.sidebar"},
    # A calm blue: green, amber and red are kept for what they say.
    "COLORS": {
        "primary": {
            "50": "oklch(97.2% .012 244)",
            "100": "oklch(93.8% .028 244)",
            "200": "oklch(88.5% .05 244)",
            "300": "oklch(81% .08 244)",
            "400": "oklch(70.5% .11 244)",
            "500": "oklch(60.5% .125 246)",
            "600": "oklch(50.5% .125 248)",
            "700": "oklch(43.5% .11 249)",
            "800": "oklch(37.5% .09 250)",
            "900": "oklch(32.5% .07 251)",
            "950": "oklch(24% .05 252)",
        }
    },
}
