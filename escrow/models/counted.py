"""Bases of the models whose saves and deletions are counted by django-prometheus (docs/metrics.md).

Models whose rows are written by `bulk_create` or SQL only have none: the base would not see them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_prometheus.models import ExportModelOperationsMixin

if TYPE_CHECKING:  # mypy would allow every attribute on a model with a base that a call returns

    class Counted:
        pass

    CountedCollection = Counted
    CountedCollectionEvent = Counted
    CountedEscrow = Counted
    CountedEscrowEvent = Counted
    CountedEscrowTerms = Counted
    CountedFeeRule = Counted
    CountedInvitation = Counted
    CountedPaymentEvent = Counted
    CountedPayout = Counted
    CountedPayoutEvent = Counted
    CountedProviderCall = Counted
else:
    CountedCollection = ExportModelOperationsMixin("escrow.collection")
    CountedCollectionEvent = ExportModelOperationsMixin("escrow.collectionevent")
    CountedEscrow = ExportModelOperationsMixin("escrow.escrow")
    CountedEscrowEvent = ExportModelOperationsMixin("escrow.escrowevent")
    CountedEscrowTerms = ExportModelOperationsMixin("escrow.escrowterms")
    CountedFeeRule = ExportModelOperationsMixin("escrow.feerule")
    CountedInvitation = ExportModelOperationsMixin("escrow.invitation")
    CountedPaymentEvent = ExportModelOperationsMixin("escrow.paymentevent")
    CountedPayout = ExportModelOperationsMixin("escrow.payout")
    CountedPayoutEvent = ExportModelOperationsMixin("escrow.payoutevent")
    CountedProviderCall = ExportModelOperationsMixin("escrow.providercall")
