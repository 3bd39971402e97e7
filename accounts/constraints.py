"""What is answered when two requests claim the same address, factor or role at the same instant."""

from __future__ import annotations

from core import constraints
from core.constraints import AGAIN, taken

ADDRESS = taken("Another account has this e-mail address since a moment ago. Nothing was changed.")


def register() -> None:
    constraints.register(
        {
            "accounts_user_email_key": ADDRESS,
            "unique_verified_email": ADDRESS,
            "account_emailaddress_user_id_email_987c8728_uniq": AGAIN,
            "unique_primary_email": AGAIN,
            "account_emailconfirmation_key_key": AGAIN,
            "unique_authenticator_type": taken(
                "Another request switched this second factor on at this moment. Use the one that is there."
            ),
            "usersessions_usersession_session_key_key": AGAIN,
            "accounts_user_groups_user_id_group_id_59c0b32f_uniq": AGAIN,
            "accounts_user_user_permi_user_id_permission_id_2ab516c2_uniq": AGAIN,
            "auth_group_permissions_group_id_permission_id_0cd325b0_uniq": AGAIN,
        }
    )
