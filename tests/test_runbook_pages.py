"""/runbooks/: the pages of docs/runbooks for signed-in staff, and the Markdown they are written in."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from amani.markdown import render
from amani.runbooks import address, names


@pytest.fixture
def staff(client: Client, django_user_model: Any) -> Client:
    client.force_login(django_user_model.objects.create_user("ada@example.com", is_staff=True))
    return client


@pytest.mark.django_db
def test_every_runbook_has_a_page_that_reads_well(staff: Client) -> None:
    assert "HighErrorRate" in names()
    for name in names():
        html = staff.get(f"/runbooks/{name}/").content.decode()
        article = html[html.index("<article") : html.index("</article>")]
        words = re.sub(r"<pre>.*?</pre>|<code>.*?</code>", "", article, flags=re.DOTALL)
        assert f"<h1>{name}</h1>" in article
        for leftover in ("```", "**", "](", "\n#", "\n|"):
            assert leftover not in words, (name, leftover)


@pytest.mark.django_db
def test_index_says_what_each_alert_means(staff: Client) -> None:
    html = staff.get("/runbooks/").content.decode()
    for name in names():
        assert f'href="/runbooks/{name}/"' in html
    assert "requests in 5 minutes were answered with a 5xx status" in html


@pytest.mark.django_db
def test_runbooks_are_for_staff(client: Client, django_user_model: Any) -> None:
    for url in ("/runbooks/", "/runbooks/HighErrorRate/"):
        assert client.get(url).headers["Location"] == f"/admin/login/?next={url}"
    client.force_login(django_user_model.objects.create_user("buyer@example.com"))
    assert client.get("/runbooks/").status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["Nothing", "..%2f..%2fREADME", "%2e%2e%2fconfiguration", "HighErrorRate.md"]
)
def test_nothing_but_runbooks_is_served(staff: Client, name: str) -> None:
    assert staff.get(f"/runbooks/{name}/").status_code == 404


def test_links_lead_to_runbooks_or_the_web_and_nowhere_else() -> None:
    assert address("DatabaseConnectionIssues.md") == "/runbooks/DatabaseConnectionIssues/"
    assert address("HighErrorRate.md#first-look") == "/runbooks/HighErrorRate/#first-look"
    assert address("https://status.slack.com") == "https://status.slack.com"
    for target in ("../configuration.md", "/etc/passwd", "javascript:alert(1)", "Nothing.md"):
        assert address(target) == ""


def test_links_between_runbooks_lead_somewhere() -> None:
    folder = Path(settings.BASE_DIR) / "docs" / "runbooks"
    for file in folder.glob("*.md"):
        for target in re.findall(r"\]\(([^)]+\.md)[^)]*\)", file.read_text()):
            assert (folder / target).resolve().exists(), (file.name, target)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# A & B", "<h1>A &amp; B</h1>"),
        ("one\ntwo\n\nthree", "<p>one two</p><p>three</p>"),
        (
            "**bold** and *soft* and `a < b`",
            "<p><strong>bold</strong> and <em>soft</em> and <code>a &lt; b</code></p>",
        ),
        ("- one\n- two", "<ul><li>one</li><li>two</li></ul>"),
        ("1. one\n   more\n2. two", "<ol><li>one more</li><li>two</li></ol>"),
        ("- one\n  - inner\n- two", "<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>"),
        (
            "1. run\n   ```sh\n   a\n     b\n   ```\n   then",
            "<ol><li>run<pre><code>a\n  b</code></pre><p>then</p></li></ol>",
        ),
        ("```\n<b>\n# no heading\n```\nafter", "<pre><code>&lt;b&gt;\n# no heading</code></pre><p>after</p>"),
        ("```\nnever closed", "<pre><code>never closed</code></pre>"),
        (
            "| a | b |\n|---|---|\n| `1` | 2 |",
            (
                "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
                "<tbody><tr><td><code>1</code></td><td>2</td></tr></tbody></table>"
            ),
        ),
        (
            "see http://localhost:9090.",
            '<p>see <a href="http://localhost:9090">http://localhost:9090</a>.</p>',
        ),
        ("[a *b*](x.md)", '<p><a href="x.md">a <em>b</em></a></p>'),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ('[x](https://e.example/"onclick=1)', '<p><a href="https://e.example/&quot;onclick=1">x</a></p>'),
        ("", ""),
    ],
)
def test_markdown_becomes_html_with_everything_escaped(text: str, html: str) -> None:
    assert render(text) == html


def test_link_without_an_address_is_only_its_words() -> None:
    assert render("[evil](javascript:alert)", lambda target: "") == "<p>evil</p>"
