"""Makes the rules that should run those of rule files: for teams that keep them in git, and to carry what
operators tuned from one installation to another.

    imported = import_rules(folder, actor=user, reason="…")  # `manage.py alert_rules import`

shipped.py and own_rules.py find the changes that this takes, storing.py stores them, agreement.py compares
what should run afterwards with the files. If anything differs, nothing is stored.
"""

from observability.rules.importing.steps import Imported, Step
from observability.rules.importing.storing import import_rules

__all__ = ["Imported", "Step", "import_rules"]
