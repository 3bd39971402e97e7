import pytest

from core.money import CURRENCIES, EXPONENTS, format_amount, parse_amount


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (0, "NGN", "NGN 0"),
        (5_000_000, "NGN", "NGN 50,000"),
        (125_050, "NGN", "NGN 1,250.50"),
        (1, "USD", "USD 0.01"),
        (1_234, "JPY", "JPY 1,234"),
        (1_234_500, "KWD", "KWD 1,234.500"),
        (12_345, "CLF", "CLF 1.2345"),
        (-125_050, "NGN", "NGN -1,250.50"),
        (10**17, "NGN", "NGN 1,000,000,000,000,000"),
    ],
)
def test_an_amount_is_shown_in_the_currencys_main_unit(amount_minor: int, currency: str, text: str) -> None:
    assert format_amount(amount_minor, currency) == text


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("50000", "NGN", 5_000_000),
        ("50,000.5", "NGN", 5_000_050),
        (" 1 250.50 ", "NGN", 125_050),
        ("0", "NGN", 0),
        ("1234", "JPY", 1_234),
        ("1.234", "KWD", 1_234),
        ("1.2345", "CLF", 12_345),
        ("1.234", "NGN", None),
        ("1.2345", "KWD", None),
        ("1.5", "JPY", None),
        ("", "NGN", None),
        ("-1", "NGN", None),
        ("1e5", "NGN", None),
        ("\N{ARABIC-INDIC DIGIT FIVE}", "NGN", None),
        ("1" * 16, "NGN", None),
        ("NaN", "NGN", None),
    ],
)
def test_an_amount_is_read_as_typed_or_not_at_all(text: str, currency: str, amount_minor: int | None) -> None:
    assert parse_amount(text, currency) == amount_minor


def test_every_currency_with_an_exponent_of_its_own_is_one_of_iso_4217() -> None:
    assert set(EXPONENTS) <= CURRENCIES
