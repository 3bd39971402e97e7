"""/runbooks/: the pages of docs/runbooks for signed-in staff, and the Markdown they are written in."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from amani.runbooks import address, names, render


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
        words = re.sub(r"<pre>.*?</pre>|<code>.*?</code>|<a .*?</a>", "", article, flags=re.DOTALL)
        assert f"<h1>{name}</h1>" in article
        for leftover in ("```", "**", "](", "\n#", "\n|", "http://", "https://"):
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
        ("**bold** and `a < b`", "<p><strong>bold</strong> and <code>a &lt; b</code></p>"),
        ("| a | b |\n|---|---|\n| `1` | 2 |", "<td><code>1</code></td>"),
        (
            "1. run\n   ```sh\n   a\n     b\n   ```\n   then",
            '<pre><code class="language-sh">a\n  b\n</code></pre>',
        ),
        ("<http://localhost:9090>", '<a href="http://localhost:9090">http://localhost:9090</a>'),
        ("[a *b*](RedisUnavailable.md)", '<a href="/runbooks/RedisUnavailable/">a <em>b</em></a>'),
    ],
)
def test_markdown_becomes_html(text: str, html: str) -> None:
    assert html in render(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("a <img src=x onerror=alert(1)> b", "<p>a &lt;img src=x onerror=alert(1)&gt; b</p>"),
        ("```\n</code><b>\n```", "<pre><code>&lt;/code&gt;&lt;b&gt;\n</code></pre>"),
        ('[x](https://e.example/"onclick=1)', '<p><a href="https://e.example/%22onclick=1">x</a></p>'),
        ("[evil](javascript:alert)", "<p>[evil](javascript:alert)</p>"),
        ("[a *file*](../configuration.md)", "<p>a <em>file</em></p>"),
        (
            "[mail](mailto:a@example.com) [next](Watchdog.md)",
            '<p>mail <a href="/runbooks/Watchdog/">next</a></p>',
        ),
        ("![x](https://e.example/p.png)", '<p>!<a href="https://e.example/p.png">x</a></p>'),
    ],
)
def test_a_page_runs_nothing_and_loads_nothing_from_elsewhere(text: str, html: str) -> None:
    assert render(text).strip() == html
