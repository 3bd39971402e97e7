"""Tests that the console requires a second factor while STAFF_MFA_REQUIRED is on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY, get_authentication_records
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth.models import Group
from django.core import mail
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts import second_factor
from accounts.models import User
from accounts.tests.devices import Browser
from tests.console_browser import PASSWORD, SECRET, give_second_factor, totp_code

pytestmark = pytest.mark.django_db

ENROL = "/accounts/2fa/totp/activate/?next="
GIVE = "/accounts/2fa/reauthenticate/?next="
RUNBOOKS = "/runbooks/"


@pytest.fixture
def required(settings: Any) -> None:
    settings.STAFF_MFA_REQUIRED = True


@pytest.fixture
def ada() -> User:
    user = User.objects.create_user("ada@example.com", PASSWORD, full_name="Ada Abara", is_staff=True)
    user.groups.add(Group.objects.get(name="responder"))
    return user


def sign_in(client: Client, email: str = "ada@example.com", password: str = PASSWORD, to: str = "") -> Any:
    return client.post("/accounts/login/", {"login": email, "password": password, "next": to})


def give_code(client: Client, code: str, page: str = "authenticate", **fields: str) -> Any:
    return client.post(f"/accounts/2fa/{page}/", {"code": code, **fields})


def where(client: Client, url: str) -> str:
    """The address on which the browser ends up."""
    answer = client.get(url, follow=True)
    return str(answer.redirect_chain[-1][0]) if answer.redirect_chain else url


def opens(client: Client, url: str = "/admin/") -> bool:
    return client.get(url).status_code == 200


# --- The page ---


def test_operator_signs_in_and_lands_where_they_wanted(client: Client, ada: User) -> None:
    assert where(client, RUNBOOKS) == f"/accounts/login/?next={RUNBOOKS}"
    answer = sign_in(client, " Ada@Example.com", to=RUNBOOKS)
    assert (answer.status_code, answer.headers["Location"]) == (302, RUNBOOKS)
    assert opens(client, RUNBOOKS)


def test_operator_is_never_asked_to_prove_the_address_that_they_were_given(client: Client, ada: User) -> None:
    sign_in(client)
    address = EmailAddress.objects.get()
    assert (address.user, address.email, address.verified) == (ada, "ada@example.com", True)
    assert mail.outbox == []


def test_wrong_password_is_refused(client: Client, ada: User) -> None:
    answer = sign_in(client, password="wrong")
    assert answer.status_code == 200
    assert b"password you specified are not correct" in answer.content
    assert "_auth_user_id" not in client.session


def test_buyer_who_signs_in_on_the_page_reads_a_refusal(client: Client) -> None:
    buyer = User.objects.create_user("buyer@example.com", PASSWORD)
    EmailAddress.objects.create(user=buyer, email=buyer.email, verified=True, primary=True)
    sign_in(client, buyer.email)
    answer = client.get("/admin/", follow=True)
    assert [status for _, status in answer.redirect_chain] == [302]
    assert answer.status_code == 403
    assert "These pages are for Amani&#x27;s operators" in answer.content.decode().replace("'", "&#x27;")


def test_buyer_with_an_unverified_address_is_asked_for_the_code(client: Client) -> None:
    User.objects.create_user("buyer@example.com", PASSWORD)
    assert sign_in(client, "buyer@example.com").headers["Location"] == "/accounts/confirm-email/"
    assert opens(client, "/accounts/confirm-email/")
    assert [message.to for message in mail.outbox] == [["buyer@example.com"]]


def test_account_that_is_switched_off_stays_out(client: Client, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert b"switched off" in client.get(sign_in(client).headers["Location"]).content
    assert not opens(client)


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "/admin/login/"])
def test_sign_in_leads_to_no_other_site_and_to_no_loop(client: Client, ada: User, target: str) -> None:
    client.force_login(ada)
    assert client.get("/admin/login/", {"next": target}).headers["Location"] == "/admin/"


@pytest.mark.parametrize("path", ["signup/", "password/reset/key/x-y/", "login/code/", "2fa/webauthn/login/"])
def test_pages_that_operators_do_not_need_are_not_there(client: Client, path: str) -> None:
    assert client.get(f"/accounts/{path}").status_code == 404


def test_page_of_emails_leads_home(client: Client, ada: User) -> None:
    client.force_login(ada)
    for path in ("/accounts/email/", "/accounts/"):
        assert where(client, path) == "/admin/"


def test_forgotten_password_is_replaced_by_a_mailed_code(client: Client, ada: User) -> None:
    give_second_factor(ada)
    client.post("/accounts/password/reset/", {"email": "ada@example.com"})
    code = next(line for line in mail.outbox[0].body.splitlines() if line.count("-") == 1 and len(line) == 9)
    client.post("/accounts/password/reset/confirm/", {"code": code})
    fields = {"password1": "another good password", "password2": "another good password"}
    answer = client.post("/accounts/password/reset/complete/", fields, follow=True)
    assert b"Your password is changed" in answer.content
    assert (
        sign_in(client, password="another good password").headers["Location"] == "/accounts/2fa/authenticate/"
    )


def test_console_sends_to_the_page_to_change_a_password_and_signs_out(client: Client, ada: User) -> None:
    sign_in(client)
    assert client.get("/admin/password_change/").headers["Location"] == "/accounts/password/change/"
    fields = {"oldpassword": PASSWORD, "password1": "another password", "password2": "another password"}
    assert client.post("/accounts/password/change/", fields).status_code == 302
    ada.refresh_from_db()
    assert ada.check_password("another password")
    client.post("/admin/logout/")
    assert not opens(client)


def test_too_many_attempts_show_a_page(client: Client, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "1/m/ip"}
    assert opens(client, "/accounts/login/")
    sign_in(client, "nobody@example.com")
    answer = sign_in(client, "nobody@example.com")
    assert answer.status_code == 429
    assert b"Too many attempts" in answer.content


# --- Required ---


def test_factor_is_not_asked_for_unless_it_is_required(client: Client, ada: User) -> None:
    sign_in(client)
    assert opens(client)


def test_operator_without_a_factor_reaches_nothing_but_enrolment(
    client: Client, ada: User, required: None
) -> None:
    sign_in(client)
    for url in ("/admin/", "/admin/observability/episode/", RUNBOOKS, "/admin/jsi18n/"):
        assert where(client, url).split("?")[0] == "/accounts/2fa/totp/activate/", url
    for url in ("/admin/observability/episode/1/acknowledge/", "/admin/accounts/user/"):
        answer = client.post(url, {"reason": "x"})
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/admin/login/"), url


def test_fresh_sign_in_need_not_repeat_the_password_to_enrol(
    client: Client, ada: User, required: None
) -> None:
    sign_in(client)
    page = client.get("/admin/", follow=True)
    assert page.redirect_chain[-1][0] == f"{ENROL}%2Fadmin%2F"
    secret = page.context["form"].secret
    assert secret in page.content.decode()
    assert "data:image/svg+xml;base64," in page.content.decode()


def test_older_sign_in_gives_the_password_to_enrol(client: Client, ada: User, required: None) -> None:
    client.force_login(ada)
    assert where(client, "/admin/").split("?")[0] == "/accounts/reauthenticate/"
    assert client.post("/accounts/reauthenticate/", {"password": "wrong"}).status_code == 200
    fields = {"password": PASSWORD, "next": "/accounts/2fa/totp/activate/"}
    assert client.post("/accounts/reauthenticate/", fields, follow=True).context["form"].secret


@pytest.mark.django_db(transaction=True)
def test_enrolment_opens_the_console_and_ends_sessions_from_before(
    client: Client, ada: User, required: None
) -> None:
    older = Client()
    sign_in(older)
    sign_in(client)
    assert opens(older, "/accounts/2fa/")
    secret = str(client.get("/admin/", follow=True).context["form"].secret)
    answer = give_code(client, totp_code(secret), "totp/activate")
    assert answer.headers["Location"] == "/accounts/2fa/recovery-codes/"
    assert opens(client)
    assert where(older, "/accounts/2fa/") == "/accounts/login/?next=/accounts/2fa/"
    codes = client.get("/accounts/2fa/recovery-codes/").context["unused_codes"]
    assert len(codes) == 10
    assert client.get("/accounts/2fa/recovery-codes/download/").content.decode().split() == codes


def test_wrong_code_enrols_nothing(client: Client, ada: User, required: None) -> None:
    sign_in(client)
    client.get("/admin/", follow=True)
    assert b"Incorrect code" in give_code(client, "000000", "totp/activate").content
    assert not Authenticator.objects.exists()
    assert not opens(client)


def test_operator_with_a_factor_signs_in_with_it(client: Client, ada: User, required: None) -> None:
    give_second_factor(ada)
    assert sign_in(client, to=RUNBOOKS).headers["Location"] == "/accounts/2fa/authenticate/"
    assert not opens(client)
    assert give_code(client, "000000").status_code == 200
    assert not opens(client)
    assert give_code(client, totp_code(SECRET)).headers["Location"] == RUNBOOKS
    assert opens(client)


def test_code_counts_once(client: Client, ada: User, required: None) -> None:
    give_second_factor(ada)
    code = totp_code(SECRET)
    sign_in(client)
    assert give_code(client, code).status_code == 302
    second = Client()
    sign_in(second)
    assert give_code(second, code).status_code == 200
    assert not opens(second)


def test_recovery_code_stands_in_once(client: Client, ada: User, required: None) -> None:
    give_second_factor(ada)
    code = RecoveryCodes.activate(ada).get_unused_codes()[0]
    sign_in(client)
    give_code(client, code)
    assert opens(client)
    second = Client()
    sign_in(second)
    assert give_code(second, code).status_code == 200
    assert not opens(second)


def test_session_that_was_opened_without_the_factor_must_give_it(
    client: Client, ada: User, required: None
) -> None:
    give_second_factor(ada)
    client.force_login(ada)
    assert where(client, RUNBOOKS) == f"{GIVE}%2Frunbooks%2F"
    for page in ("2fa/", "2fa/webauthn/add/", "password/set/"):
        assert where(client, f"/accounts/{page}").split("?")[0] == GIVE.split("?")[0], page
    assert give_code(client, "000000", "reauthenticate", next=RUNBOOKS).status_code == 200
    assert not opens(client)
    assert (
        give_code(client, totp_code(SECRET), "reauthenticate", next=RUNBOOKS).headers["Location"] == RUNBOOKS
    )
    assert opens(client)


def test_operator_with_only_a_security_key_is_asked_for_it(client: Client, ada: User, required: None) -> None:
    put_key(ada)
    client.force_login(ada)
    login = client.get("/admin/login/", {"next": "/admin/"})
    assert login.headers["Location"] == "/accounts/2fa/webauthn/reauthenticate/?next=%2Fadmin%2F"


def test_sign_in_by_the_api_counts_as_much_as_by_the_page(ada: User, required: None) -> None:
    give_second_factor(ada)
    browser = Browser()
    browser.sign_in()
    assert not opens(browser.client)
    assert browser.post("auth/2fa/authenticate", code=totp_code(SECRET)).status == 200
    assert opens(browser.client)


def test_second_factor_costs_a_page_no_query(client: Client, ada: User, settings: Any) -> None:
    give_second_factor(ada)
    sign_in(client)
    give_code(client, totp_code(SECRET))
    counts = []
    for settings.STAFF_MFA_REQUIRED in (False, True):
        with CaptureQueriesContext(connection) as queries:
            assert opens(client, RUNBOOKS)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_reauthentication_with_a_factor_refuses_the_password(
    client: Client, ada: User, required: None
) -> None:
    give_second_factor(ada)
    sign_in(client)
    give_code(client, totp_code(SECRET))
    assert where(client, "/accounts/2fa/totp/deactivate/").startswith("/accounts/2fa/reauthenticate/")
    by_password = client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert by_password.headers["Location"] == "/accounts/2fa/reauthenticate/"
    assert client.get("/accounts/2fa/totp/deactivate/").status_code == 302


@pytest.mark.parametrize("path", ["2fa/", "password/change/", "reauthenticate/"])
def test_no_cache_keeps_a_page_about_an_operator(client: Client, ada: User, path: str) -> None:
    client.force_login(ada)
    answer = client.get(f"/accounts/{path}")
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]


# --- The last one ---


@pytest.fixture
def signed_in(client: Client, ada: User, required: None) -> Client:
    """Just confirmed that it is them, so that they may change their factors."""
    give_second_factor(ada)
    sign_in(client)
    give_code(client, totp_code(SECRET))
    give_code(client, totp_code(SECRET, later=1), "reauthenticate")
    return client


def put_key(user: User, *, alone: bool = False) -> Authenticator:
    """Stores a security key as if it had been there before the sessions began. `alone`: without the app."""
    key = Authenticator(user=user, type="webauthn", data={"name": "blue", "credential": {}})
    rows = Authenticator.objects.bulk_create([key])  # which sends no signal
    if alone:
        before = Authenticator.objects.filter(user=user).exclude(pk=key.pk)
        before._raw_delete(before.db)
    return rows[0]


def test_last_factor_cannot_be_removed(signed_in: Client) -> None:
    page = signed_in.post("/accounts/2fa/totp/deactivate/")
    assert b"This is the last factor" in page.content
    assert Authenticator.objects.filter(type="totp").count() == 1


def test_last_security_key_cannot_be_removed_but_another_one_can(signed_in: Client, ada: User) -> None:
    key = put_key(ada)
    signed_in.post("/accounts/2fa/totp/deactivate/")
    assert set(second_factor.factors_of(ada)) == {key}
    url = f"/accounts/2fa/webauthn/keys/{key.pk}/remove/"
    assert b"This is the last factor" in signed_in.post(url, follow=True).content
    assert set(second_factor.factors_of(ada)) == {key}
    other = put_key(ada)
    assert signed_in.post(url).status_code == 302
    assert set(second_factor.factors_of(ada)) == {other}


def test_key_of_another_user_cannot_be_removed(signed_in: Client) -> None:
    other = User.objects.create_user("other@example.com", is_staff=True)
    key = Authenticator.objects.create(user=other, type="webauthn", data={"name": "blue", "credential": {}})
    assert signed_in.post(f"/accounts/2fa/webauthn/keys/{key.pk}/remove/").status_code == 404
    assert second_factor.factors_of(other).exists()


def test_last_factor_removed_by_the_api_leads_to_enrolment(signed_in: Client, ada: User) -> None:
    key = put_key(ada, alone=True)
    elsewhere = Client()
    elsewhere.force_login(ada)
    browser = Browser()
    browser.client = signed_in
    assert browser.delete("account/authenticators/webauthn", authenticators=[key.pk]).status == 200
    assert where(signed_in, "/admin/").split("?")[0] == "/accounts/2fa/totp/activate/"
    assert where(elsewhere, RUNBOOKS) == f"/accounts/login/?next={RUNBOOKS}"


def opened(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def remove(client: Client, key: Authenticator) -> int:
    browser = Browser()
    browser.client = client
    return browser.delete("account/authenticators/webauthn", authenticators=[key.pk]).status


def test_operator_who_removes_one_of_two_factors_keeps_only_this_session(
    signed_in: Client, ada: User
) -> None:
    key = put_key(ada)
    elsewhere = opened(ada)
    methods = [record["method"] for record in signed_in.session[AUTHENTICATION_METHODS_SESSION_KEY]]
    assert remove(signed_in, key) == 200
    records = signed_in.session[AUTHENTICATION_METHODS_SESSION_KEY]
    assert [record["method"] for record in records] == methods
    assert opens(signed_in)
    assert where(elsewhere, RUNBOOKS).startswith("/accounts/login/")


def test_session_without_its_last_factor_remembers_only_the_password(signed_in: Client, ada: User) -> None:
    key = put_key(ada, alone=True)
    assert remove(signed_in, key) == 200
    records = signed_in.session[AUTHENTICATION_METHODS_SESSION_KEY]
    assert {record["method"] for record in records} == {"password"}


def test_buyer_who_removes_the_last_factor_keeps_only_this_session(signed_in: Client, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_staff=False)
    key = put_key(ada, alone=True)
    elsewhere = opened(ada)
    assert remove(signed_in, key) == 200
    assert opens(signed_in, "/accounts/reauthenticate/")
    assert not opens(elsewhere, "/accounts/reauthenticate/")
    records = signed_in.session[AUTHENTICATION_METHODS_SESSION_KEY]
    assert "mfa" in {record["method"] for record in records}


# --- The parts ---


def request_of(client: Client, user: Any) -> Any:
    request = RequestFactory().get("/")
    request.session = client.session
    request.user = user
    return request


@pytest.mark.parametrize(
    ("setting", "is_staff", "is_required"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_factor_is_required_of_operators_while_the_setting_is_on(
    settings: Any, setting: bool, is_staff: bool, is_required: bool
) -> None:
    settings.STAFF_MFA_REQUIRED = setting
    assert second_factor.is_required_of(User(is_staff=is_staff)) == is_required


@pytest.mark.parametrize(("setting", "may_go"), [(True, [False, True]), (False, [True, True])])
def test_last_factor_may_go_only_where_none_is_required(
    ada: User, settings: Any, setting: bool, may_go: list[bool]
) -> None:
    settings.STAFF_MFA_REQUIRED = setting
    give_second_factor(User.objects.create_user("other@example.com", is_staff=True))
    give_second_factor(ada)
    RecoveryCodes.activate(ada)
    totp = Authenticator.objects.get(type="totp", user=ada)
    adapter = second_factor.MFAAdapter()
    found = [adapter.can_delete_authenticator(totp)]
    Authenticator.objects.create(user=ada, type="webauthn", data={"name": "blue", "credential": {}})
    assert [*found, adapter.can_delete_authenticator(totp)] == may_go


@pytest.mark.parametrize(
    ("types", "page"),
    [
        ([], "2fa/totp/activate"),
        (["recovery_codes"], "2fa/totp/activate"),
        (["totp"], "2fa/reauthenticate"),
        (["webauthn"], "2fa/webauthn/reauthenticate"),
        (["totp", "webauthn"], "2fa/reauthenticate"),
    ],
)
def test_page_that_asks_for_the_factor_is_that_of_the_factor(
    client: Client, ada: User, types: list[str], page: str
) -> None:
    give_second_factor(User.objects.create_user("other@example.com", is_staff=True))
    for kind in types:
        Authenticator.objects.create(user=ada, type=kind, data={})
    client.force_login(ada)
    url = second_factor.url_to_give_factor(request_of(client, ada), ada, "/runbooks/?a=1")
    assert url == f"/accounts/{page}/?next=%2Frunbooks%2F%3Fa%3D1"
    assert EmailAddress.objects.get(user=ada).verified


@pytest.mark.parametrize(
    ("method", "age", "is_accepted"), [("password", 299, True), ("password", 300, False), ("mfa", 0, False)]
)
def test_recent_password_counts_as_reauthentication(
    client: Client,
    ada: User,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    age: int,
    is_accepted: bool,
) -> None:
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
    accepted: list[Any] = []
    monkeypatch.setattr(second_factor, "reauthenticate_by_password", accepted.append)
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    records = [{"method": method, "at": 1_800_000_000.0 - age}]
    monkeypatch.setattr(second_factor, "get_authentication_records", lambda _request, _user: records)
    request = request_of(client, ada)
    second_factor.accept_recent_password(request)
    assert accepted == [request] * is_accepted


@pytest.mark.parametrize(
    ("is_staff", "kind", "others", "is_given"),
    [
        (True, "totp", [], True),
        (True, "webauthn", [], True),
        (True, "webauthn", ["totp"], False),
        (True, "recovery_codes", ["totp"], False),
        (False, "totp", [], False),
    ],
)
def test_first_factor_of_an_operator_counts_as_given(
    client: Client, ada: User, is_staff: bool, kind: str, others: list[str], is_given: bool
) -> None:
    for other in others:
        Authenticator.objects.create(user=ada, type=other, data={})
    ada.is_staff = is_staff
    ada.save()
    client.force_login(ada)
    request = request_of(client, ada)
    factor = Authenticator.objects.create(user=ada, type=kind, data={})
    second_factor.after_enrolment(request=request, user=ada, authenticator=factor)
    assert second_factor.was_given(request) == is_given
    if is_given:
        [record] = [each for each in get_authentication_records(request, ada) if each["method"] == "mfa"]
        assert (record["id"], record["type"]) == (factor.pk, kind)


@pytest.mark.parametrize(
    ("name", "posted", "is_response"),
    [
        ("authenticate_webauthn", {}, True),
        ("reauthenticate_webauthn", {}, True),
        ("mfa_reauthenticate_webauthn", {}, True),
        ("mfa_authenticate", {"credential": "{}"}, True),
        ("mfa_authenticate", {"code": "123456"}, False),
        ("account_login", {"credential": "{}"}, False),
        (None, {"credential": "{}"}, False),
    ],
)
def test_response_of_a_key_is_known_by_its_route(
    name: str | None, posted: dict[str, str], is_response: bool
) -> None:
    request: Any = RequestFactory().post("/", posted)
    request.resolver_match = SimpleNamespace(url_name=name) if name else None
    assert second_factor.is_response_of_key(request) == is_response


@pytest.mark.parametrize(
    ("code", "is_key", "counted"),
    [("incorrect_code", True, ["mfa_failed"]), ("incorrect_code", False, []), ("add_failed", True, [])],
)
def test_refused_key_is_counted_as_a_failure(
    monkeypatch: pytest.MonkeyPatch, code: str, is_key: bool, counted: list[str]
) -> None:
    outcomes: list[str] = []
    request = RequestFactory().post("/")

    def record_failure(*, request: Any, outcome: str) -> None:
        assert request is context.request
        outcomes.append(outcome)

    monkeypatch.setattr(
        second_factor, "is_response_of_key", lambda asked: is_key and asked is context.request
    )
    monkeypatch.setattr(second_factor, "record_failure", record_failure)
    monkeypatch.setattr(
        second_factor.MFAAdapter, "error_messages", {"incorrect_code": "No: %s", "add_failed": "No: %s"}
    )
    with context.request_context(request):
        error = second_factor.MFAAdapter().validation_error(code, "wrong")
    assert (error.code, error.messages) == (code, ["No: wrong"])
    assert outcomes == counted


@pytest.mark.parametrize(
    ("is_headless", "public_url", "host"),
    [
        (True, "https://console.example", "app.example"),
        (False, "https://console.example:8443/x", "console.example"),
        (False, "", ""),
    ],
)
def test_key_is_bound_to_the_configured_site(
    settings: Any, monkeypatch: pytest.MonkeyPatch, is_headless: bool, public_url: str, host: str
) -> None:
    settings.FRONTEND_URL, settings.PUBLIC_URL = "https://app.example", public_url
    request = RequestFactory().get("/")
    monkeypatch.setattr(second_factor, "is_headless_request", lambda asked: is_headless and asked is request)
    with context.request_context(request):
        entity = second_factor.MFAAdapter().get_public_key_credential_rp_entity()
    assert entity == {"id": host, "name": "Amani"}


def test_secrets_of_factors_are_those_that_are_encrypted(ada: User) -> None:
    for kind in ("totp", "recovery_codes", "webauthn"):
        Authenticator.objects.create(user=ada, type=kind, data={})
    found = second_factor.secrets_of_factors().values_list("type", flat=True)
    assert sorted(found) == ["recovery_codes", "totp"]
    adapter = second_factor.MFAAdapter()
    assert adapter.encrypt("secret") != "secret"
    assert adapter.decrypt(adapter.encrypt("secret")) == "secret"
