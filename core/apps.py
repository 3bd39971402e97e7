from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Templates, styles and template filters of the console's frame; it has no models of its own."""

    name = "core"
    verbose_name = "Mechanisms"
