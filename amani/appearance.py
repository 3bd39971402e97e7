"""Settings of Django Unfold, the look of the admin. The functions that they name are in amani/console.py."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

INDIGO = {
    "50": "oklch(96.2% .018 272.314)",
    "100": "oklch(93% .034 272.788)",
    "200": "oklch(87% .065 274.039)",
    "300": "oklch(78.5% .115 274.713)",
    "400": "oklch(67.3% .182 276.935)",
    "500": "oklch(58.5% .233 277.117)",
    "600": "oklch(51.1% .262 276.966)",
    "700": "oklch(45.7% .24 277.023)",
    "800": "oklch(39.8% .195 277.366)",
    "900": "oklch(35.9% .144 278.697)",
    "950": "oklch(25.7% .09 281.288)",
}


def static_file(path: str) -> Any:
    """Returns a function that returns the file's URL when a page is rendered.

    While the settings are read, the static files are not set up yet.
    """
    return lambda _request: static(path)


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Amani",
    "SITE_HEADER": "Amani",
    "SITE_SUBHEADER": "Alerts and operations",
    "SITE_URL": None,
    "SITE_SYMBOL": "shield_with_heart",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": static_file("core/favicon.svg")},
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "amani.console.environment_badge",
    "DASHBOARD_CALLBACK": "amani.console.start_page",
    "STYLES": [static_file("core/console.css")],
    "COLORS": {"primary": INDIGO},
    "BORDER_RADIUS": "8px",
    "ACCOUNT": {
        "navigation": [
            {"title": "Second factor", "link": reverse_lazy("mfa_index")},
            {"title": "Change password", "link": reverse_lazy("account_change_password")},
        ]
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "amani.console.navigation",
    },
    "COMMAND": {"search_models": False, "show_history": False},
}
