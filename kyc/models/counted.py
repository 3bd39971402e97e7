"""Bases of the models whose saves and deletions are counted by django-prometheus (docs/metrics.md).

Models whose rows are written by `bulk_create` or SQL only have none: the base would not see them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_prometheus.models import ExportModelOperationsMixin

if TYPE_CHECKING:  # mypy would allow every attribute on a model with a base that a call returns

    class Counted:
        pass

    CountedCase = Counted
    CountedCaseEvent = Counted
    CountedCheck = Counted
    CountedDocumentAccess = Counted
    CountedLimitRule = Counted
    CountedNumberAccess = Counted
    CountedProviderEvent = Counted
else:
    CountedCase = ExportModelOperationsMixin("kyc.case")
    CountedCaseEvent = ExportModelOperationsMixin("kyc.caseevent")
    CountedCheck = ExportModelOperationsMixin("kyc.check")
    CountedDocumentAccess = ExportModelOperationsMixin("kyc.documentaccess")
    CountedLimitRule = ExportModelOperationsMixin("kyc.limitrule")
    CountedNumberAccess = ExportModelOperationsMixin("kyc.numberaccess")
    CountedProviderEvent = ExportModelOperationsMixin("kyc.providerevent")
