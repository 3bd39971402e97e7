"""Settings of Django Unfold, the look of the admin. The functions that they name are in amani/console.py."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


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
    "STYLES": [static_file("core/console.css")],  # with the palette; accounts/staff.py says why
    "SCRIPTS": [static_file("core/htmx.js")],
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
