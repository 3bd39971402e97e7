"""Tables for the tests of the scrubber: texts with their results, names, and texts that are not changed."""

H = "[redacted]"

# Text → what is left of it.
HIDDEN_TEXTS = [
    # keys and values
    ("password=hunter2", f"password={H}"),
    ("DB_PASSWORD: hunter2", f"DB_PASSWORD: {H}"),
    ('{"apiKey": "abc", "x": 1}', f'{{"apiKey": "{H}", "x": 1}}'),
    ("{'pin': 1234, 'x': 1}", f"{{'pin': {H}, 'x': 1}}"),
    ("{'secret': b'ab\\'c', 'x': 1}", f"{{'secret': b'{H}', 'x': 1}}"),
    ("[{'pin': 1}, {'pin': 2}]", f"[{{'pin': {H}}}, {{'pin': {H}}}]"),
    ('{"body": "{\\"pwd\\": \\"x y\\", \\"n\\": 5}"}', f'{{"body": "{{\\"pwd\\": \\"{H}\\", \\"n\\": 5}}"}}'),
    ("{'cookies': {'a': {'b': 'c'}}, 'x': 1}", f"{{'cookies': {H}, 'x': 1}}"),
    ("User(name='Amy', password='p, w', pin=1)", f"User(name='Amy', password='{H}', pin={H})"),
    ("[('Authorization', 'Token abc')]", f"[('Authorization', '{H}')]"),
    ("api key: abc, account number: 12", f"api key: {H}, account number: {H}"),
    ("BVN: 2212 345 6789 of Amy", f"BVN: {H} of Amy"),
    ("password != 'hunter2' and token == 'abc'", f"password != '{H}' and token == '{H}'"),
    ("<ns:Password>hunter2</ns:Password><bvn>1</bvn>", f"<ns:Password>{H}</ns:Password><bvn>{H}</bvn>"),
    ("--password hunter2 --force", f"--password {H} --force"),
    ("password=hun,ter;2", f"password={H}"),
    ("(password=hunter2), then", f"(password={H}), then"),
    ("passphrase: correct horse\nnext line", f"passphrase: {H}\nnext line"),
    ("the password is hunter2!", f"the password is {H}"),
    ("secret s3cr3t-value given", f"secret {H} given"),
    ("OTP 482913, your PIN is 1234", f"OTP {H}, your PIN is {H}"),
    # headers
    ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {H}"),
    ("Authorization: Digest username=amy, nonce=1", f"Authorization: {H}"),
    ("{'Authorization': 'Bearer abc.def', 'a': 'b'}", f"{{'Authorization': '{H}', 'a': 'b'}}"),
    ("Cookie: sessionid=abc; theme=dark\r\nHost: x", f"Cookie: {H}\r\nHost: x"),
    ("Set-Cookie: sessionid=abc; Path=/", f"Set-Cookie: {H}"),
    ("HTTP_X_CSRFTOKEN=abc HTTP_HOST=x", f"HTTP_X_CSRFTOKEN={H} HTTP_HOST=x"),
    ("sent Bearer abcdefghi", f"sent Bearer {H}"),
    ("sent Basic dXNlcjpwYXNz", f"sent Basic {H}"),
    # addresses
    ("https://me:password@proxy.example/x", f"https://{H}@proxy.example/x"),
    ("redis://:p@ss@host:6379/0", f"redis://{H}@host:6379/0"),
    ("https://0a1b2c@o1.ingest.sentry.io/42", f"https://{H}@o1.ingest.sentry.io/42"),
    ("/x?token=abcdef&x=1", f"/x?token={H}&x=1"),
    ("next=%2Fx%3Ftoken%3Dabc&y=1", f"next=%2Fx%3Ftoken%3D{H}&y=1"),
    ("%7B%22password%22%3A%22hunter2%22%7D", f"%7B%22password%22%3A%22{H}"),
    ("https://hooks.slack.com/services/T/B/x ok", f"https://hooks.slack.com/{H} ok"),
    ("/reset/MQ/d4k2x9-0f1e2d3c4b5a69788796a5b4c3d2e1f0/", f"/reset/MQ/{H}/"),
    # keys by their form
    ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", f"got {H}"),
    ("sk_live_51Habc and whsec_MfKQ9r8G", f"sk_live_{H} and whsec_{H}"),
    ("AKIAIOSFODNN7EXAMPLE", H),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", f"ghp_{H}"),
    ("xoxb-1234-abcd", f"xoxb-{H}"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- end", f"{H} end"),
    ("-----BEGIN PRIVATE KEY-----\nMII\ncut", H),
    # cards and accounts
    ("card 4111 1111 1111 1111 declined", f"card {H} declined"),
    ("4111-1111-1111-1111, 378282246310005", f"{H}, {H}"),
    ("in 2024 5399838383838381.", f"in 2024 {H}."),
    ("2024 4111 1111 1111 1111", f"2024 {H}"),
    ("3782 822463 10005", H),
    ("/cards/4111111111111111/", f"/cards/{H}/"),
    ("to GB82 WEST 1234 5698 7654 32 IS OK", f"to {H} IS OK"),
    ("de89370400440532013000", H),
    ("account 0123456789.", f"account {H}."),
    ("acct_0123456789 and NIN-12345678901", f"acct_{H} and NIN-{H}"),
    ("22123456789", H),
    ("/accounts/0123456789/", f"/accounts/{H}/"),
    # people
    ("jane.doe+x@mail.example.co.uk wrote", f"{H} wrote"),
    ("/users/jane%40example.com/", f"/users/{H}/"),
    ("Amy <amy@example.com>", f"Amy <{H}>"),
    ("+234 803 123 4567 and +1 (415) 555-2671", f"{H} and {H}"),
    ("0803-123-4567, 0803 123 4567, 08031234567", f"{H}, {H}, {H}"),
    ("234 803 123 4567, 2348031234567, 002348031234567", f"{H}, {H}, {H}"),
    ("(415) 555-2671 or 415-555-2671", f"{H} or {H}"),
    # what databases and Python say
    ("Key (email)=(amy@example.com) already exists.", f"Key (email)=({H}) already exists."),
    ("Key (phone, name)=(1, Amy) already exists.", f"Key (phone, name)=({H}) already exists."),
    ("Failing row contains (1, hunter2, Amy).", f"Failing row contains ({H})"),
    ('invalid input syntax for type integer: "x y"', f'invalid input syntax for type integer: "{H}"'),
    ("LINE 1: ... WHERE name = 'Amy'\n   ^", f"LINE 1: {H}\n   ^"),
    ("Field 'id' expected a number but got 'x'.", f"Field 'id' expected a number but got '{H}'."),
    ("“abc” is not a valid UUID.", f"“{H}” is not a valid UUID."),
]

HARMLESS_TEXTS = [
    "",
    "delivery_attempt",
    "at 2024-05-01 12:30:45.123456 +0000 and 2024-05-01T12:30:45.123456789Z",
    "2024-08-12 10:30:45,123 08:11:12",
    "request 0f1e2d3c4b5a69788796a5b4c3d2e1f0 span 00f067aa0ba902b7 id 550e8400-e29b-41d4-a716-446655440000",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "took 1234567 ms, used 1073741824 bytes, epoch 1700000000.25 and 1700000000123",
    "ORD-0123456789 order_0123456789 web-1234567890-abcde v1.2.3 10.0.0.12:9100 192.168.100.200",
    "authors: Amy, author=Jane, tokenizer: bpe, pinned=yes, nine: 3, mapping: x, company: y, secretary: Z",
    "token_count=5 password_changed_at=now dedup_key: amani-1 primary_key=7 partition key: 3 monkey=1",
    "password=None, token: null, pin=False, secret=''",
    '["username", "password", "token"]',
    "invalid_token, 'routing_key' is invalid, the password is wrong, Basic authentication failed",
    "celery@web-1.internal ready, amani-backend@0.1.0+abcdef, app@sha256:abc, @decorator",
    "http://prometheus:9090/graph?g0.expr=rate%28x%7Bstatus%3D~%225..%22%7D%5B5m%5D%29&g0.tab=1",
    "https://amani.example/admin/observability/episode/42/change/",
    'column "nope" does not exist\nLINE 1: SELECT nope FROM t\n               ^',
    "1234 5678 9012 3456 is no card, GB00 WEST 1234 5698 7654 32 is no IBAN",
]

SECRET_NAMES = """
    password PASSWORD db_password passwd userPasswd pwd passphrase passcode secret client_secret
    clientSecret SECRET_KEY token tokens access_token accessToken csrftoken X-CSRFToken
    csrfmiddlewaretoken api_key apiKey API-KEY apikey2 x-api-key access_key AWS_SECRET_ACCESS_KEY
    authorization HTTP_AUTHORIZATION Proxy-Authorization auth basic_auth cookie cookies Set-Cookie
    HTTP_COOKIE session sessionid session_key private_key privateKey SENTRY_DSN dsn signature
    X-Slack-Signature sig otp totp otp_code pin card_pin userPIN PINCode cvv cvv2 CVC security_code
    routing_key PAGERDUTY_API_KEY bvn customerBVN nin NIN ssn card card_number cardNumber pan
    account_number accountNumber acct_no account-no bank_account nuban iban IBAN recipient_iban
    sort_code passport passport_number phone phoneNumber mobile msisdn email emailAddress user.email
    date_of_birth dob credentials jwt id_token verification_code mnemonic password2 token_1
    X-Session-Token X-Email-Verification-Key X-Password-Reset-Key recovery_codes unused_codes
    mfa_code login_code
""".split()  # noqa: SIM905

HARMLESS_NAMES = """
    author authority authors tokenizer tokenize pinned pin_count spinning nine nina companion pandas
    panel expand span japan carded scorecard discard account account_id accounting key dedup_key
    primary_key group_key cache_key keyboard monkey session_count token_count password_length
    password_changed_at token_type secretary option adoption lesson assess dsnap design signal
    signed assigned summary description instance status path request_id trace_id span_id fingerprint
    duration_ms user_id phones_total email_count iphone
""".split()  # noqa: SIM905
