"""What must never be read in a log, an alert or a table is masked, whatever stands around it, in linear time."""

import json
import string
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.operations.scrub import MASK, register_secrets, scrub

WIDE = 1_000_000
SLACK = "xoxb-" + "2" * 11 + "-abcDEF"
PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"

# Text of hypothesis: what people choose as passwords, without the white space no unquoted form can carry.
PASSWORDS = st.text(string.ascii_letters + string.digits + "!#$%&()*+,-./:;<=>?@[]^_`{|}~äß", min_size=6, max_size=40)
AROUND = st.text(string.ascii_letters + " .,;\n", max_size=30)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://bob:hunter2@db:5432/x refused", "hunter2"),
        ("redis://:hunter2@cache", "hunter2"),
        ("amqp://bob:hun/t@er2@host/x", "t@er2"),
        ("https://0123456789abcdef@o1.ingest.sentry.io/5", "0123456789abcdef"),
        ("POST https://hooks.slack.com/services/T0/B0/XyZ 403", "XyZ"),
        ("POST http://127.0.0.1:9/services/T0AAAA/B0AAAA/XyZ", "XyZ"),
        ("GET https://hc-ping.com/5f1c-uuid", "5f1c"),
        (f"invalid_auth {SLACK}", SLACK),
        ("Authorization: Basic Ym9iOmh1bnRlcjI=", "Ym9i"),
        ('{"Authorization": "Bearer abc"}', "abc"),
        ("using basic Ym9iOmh1bnRlcjI=", "Ym9i"),
        ("Bearer abcdef123456", "abcdef"),
        ("key AKIAABCDEFGHIJKLMNOP", "AKIAABCD"),
        ("eyJhbGciOi.eyJzdWIi.c2ln", "c2ln"),
        ("session 00D5g000004abcd!AQcAQH0dMHZfz972", "AQcAQH"),
        (PRIVATE_KEY, "MIIEow"),
        (PRIVATE_KEY[:50], "MIIEow"),
        (json.dumps(PRIVATE_KEY), "MIIEow"),
        ("password=hunter2", "hunter2"),
        ("PGPASSWORD='hunter 2' psql", "hunter"),
        ('{"client_secret": "a\\"hunter2"}', "hunter2"),
        (json.dumps(json.dumps({"password": "hunter2"})), "hunter2"),
        ("AIRFLOW__CORE__FERNET_KEY: abc123", "abc123"),
        ("<password>hunter2</password>", "hunter2"),
        ("https://x.org/cb?code=1&access_token=hunter2", "hunter2"),
        ("mail to jane.doe+tag@example.org failed", "jane"),
        ("user o'brien@example.co.uk", "brien"),
        ("?email=jane%40example.org", "jane"),
        ("from jäne@exämple.org", "jäne"),
        ("call +1 (555) 123-4567", "4567"),
        ("call 555-123-4567.", "4567"),
        ("call (555) 123 4567", "4567"),
        ("call 5551234567.", "5551234567"),
        ("call +49 170 1234567", "1234567"),
        ("call 0170 1234567", "1234567"),
        ("call +442071838750", "442071838750"),
        ("phone: 555-0100", "0100"),
        ("call +49 171 5550199 (555) 867-5309", "5309"),
        ("call +44 20 7183 8750, +1-555-867-5309 or +1 (555) 867-5309", "5309"),
        ("DETAIL:  Key (name)=(Jane Doe) already exists.", "Jane"),
        ("DETAIL:  Failing row contains (1, Jane Doe, null).", "Jane"),
        ('invalid input syntax for type integer: "Jane Doe"', "Jane"),
        ('CONTEXT:  COPY people, line 3, column age: "Jane Doe"', "Jane"),
        ('CONTEXT:  COPY people, line 3: "2024-01-31,Jane Doe,7"', "Jane"),
        ("CONTEXT:  unnamed portal parameter $2 = 'Jane Doe'", "Jane"),
        ("already exists with label `Employee` and property `name` = 'Jane Doe'", "Jane"),
        ("Input should be a number [type=float, input_value='Jane Doe', input_type=str]", "Jane"),
    ],
)
def test_masked(text, secret):
    masked = scrub(text)
    assert secret not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "entry 1763774000000-0 of 1763774000123-17",
        "epoch 1763774000, 1763774000.25",
        "2026-11-22T01:02:03.123456+00:00",
        "scheduled__2026-11-22T00:00:00+00:00",
        "manual__2026-11-22T01:02:03.123456+00:00_a1B2c3D4",
        "127.0.0.1:5432, 10.20.30.40, http://host:8080/path?page=2",
        "550e8400-e29b-41d4-a716-446655440000",
        "5,000 entries, 12345678 rows, 12.5 s, 3.11.2",
        'relation "ops.graph_update" does not exist',
        "neo4j@5.26 is older than redis@7.0.15",
        "basic authentication failed; the bearer of this",
        "003Dn00000ABCdEFGH: INVALID_FIELD",
        "/opt/airflow/logs/dag_id=x/run_id=y/task_id=z/attempt=1.log",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_what_an_engineer_needs_stays(text):
    assert scrub(text) == text


@given(PASSWORDS, AROUND, AROUND)
def test_whatever_the_password_it_is_not_left_in_a_url(password, before, after):
    text = f"{before} postgresql://bob:{quote(password, safe='')}@db:5432/x {after}"
    assert f":{quote(password, safe='')}@" not in scrub(text, limit=WIDE)


@given(st.text(min_size=1, max_size=40).filter(str.strip), AROUND, st.sampled_from(["password", "token", "DB_PASSWD"]))
def test_whatever_the_password_it_is_not_left_in_json(password, after, name):
    text = json.dumps({"before": 1, name: password, "count": 2})
    assert scrub(text + after, limit=WIDE).startswith(f'{{"before": 1, "{name}": {MASK}, "count": 2}}')


@given(PASSWORDS, st.sampled_from(["", "after 3 tries", "\nat line 5"]))
def test_whatever_the_password_it_is_not_left_in_an_assignment(password, after):
    masked = scrub(f"login password={password} {after}", limit=WIDE)
    assert password not in masked
    assert after in masked


@given(st.text(string.ascii_letters + string.digits + "._-", min_size=1).map(lambda name: f"a{name}"), AROUND)
def test_no_address_is_left(name, around):
    assert "@" not in scrub(f"{around} {name}@example.org {around}", limit=WIDE)


@given(st.text(), st.integers(1, 400))
def test_the_limit_holds_and_a_short_text_is_not_cut(text, limit):
    masked = scrub(text, limit=limit)
    assert len(masked) <= limit
    assert len(text) > limit or not masked.endswith("…") or text.rstrip().endswith("…") or len(text) < len(masked) + 3


@given(st.text(), st.sampled_from(["password=x ", "a@b.org ", "+49 170 1234567 ", "://u:p@h "]), st.text())
def test_masking_again_changes_nothing(before, secret, after):
    once = scrub(before + secret + after, limit=WIDE)
    assert scrub(once, limit=WIDE) == once


@pytest.mark.parametrize("length", range(280, 320))
def test_no_half_of_a_secret_is_left_at_the_cut(length):
    text = "x " * (length // 2) + SLACK + " " + "y " * 10_000
    assert "xox" not in scrub(text)


def test_a_secret_longer_than_what_is_looked_at():
    assert "hunter2" not in scrub("see postgresql://bob:" + "hunter2" * 1000 + "@db " + "y " * 10_000)


def test_registered_secrets_in_every_form():
    secret = "Zaß pö/@ 'x\""
    register_secrets(secret, None, "", "ab")
    text = f"{secret} | {quote(secret, safe='')} | {json.dumps(secret)} | {secret!r} | ab"
    assert scrub(text) == f'{MASK} | {MASK} | "{MASK}" | {MASK!r} | ab'


@pytest.mark.parametrize("name", ["password", "Secret", "token"])
def test_a_password_that_is_a_name_of_secrets_hides_no_name(name):
    register_secrets(name)
    assert scrub(f"{name}=hunter2") == f"{name}={MASK}"


HOSTILE = [
    "a", "a'", "'a", "a.", "a-", "a@", "@a.", "pass", "password:", 'password="', "\\", '"', "://a:", "key (",
    "property ", "+1 ", "1 2 3 ", "0123", "555-", "phone", "eyJaaaaaa.", "Basic a", "invalid input ", 'value "',
    "column a", "input_value=", "-----BEGIN PRIVATE KEY-----", "authorization:", " \n", "token=x ",
    "discord.com/api/webhooks",
    "x" * 43, "a." * 30 + "webhook.office.com",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_linear_time(piece):
    """Eight times the text takes about eight times as long; a quadratic pattern takes 64 times and minutes at 1 MB."""
    small, large = (piece * (size // len(piece)) for size in (25_000, 200_000))

    def seconds(text):
        start = time.process_time()
        scrub(text, limit=WIDE)
        return time.process_time() - start

    # A busy machine disturbs one measurement or another, never all of them.
    assert any(seconds(large) < 24 * seconds(small) + 0.02 for _ in range(5))
