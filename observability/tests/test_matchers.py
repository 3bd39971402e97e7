"""Label names and values become matchers that Alertmanager parses to the same names and values."""

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from observability.admin.matchers import matcher, read_equality, selector, silence_command

CONFIGURATION = """
route:
  receiver: other
  routes:
    - receiver: found
      matchers: [{selector}]
receivers:
  - name: other
  - name: found
"""


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("job", "amani", 'job="amani"'),
        ("_x9", "", '_x9=""'),
        ("service.name", "x", '"service.name"="x"'),
        ("9lives", "x", '"9lives"="x"'),
        ("größe", "XL", '"größe"="XL"'),
        ("two words", "x", '"two words"="x"'),
        ('a"b\\c', "x", '"a\\"b\\\\c"="x"'),
        ("line\nfeed", "a\nb", '"line\\nfeed"="a\\nb"'),
        ("a=b", "x,y}", '"a=b"="x,y}"'),
        ("", "x", '""="x"'),
    ],
)
def test_matcher_is_written_as_alertmanager_documents_it_and_read_back(
    name: str, value: str, written: str
) -> None:
    assert matcher(name, value) == written
    assert read_equality(written) == (name, value)


@pytest.mark.needs("amtool")
@pytest.mark.parametrize("value", ["amani", 'C:\\"x"', "a,b}={", "two words", "back\\slash", "größe", ""])
def test_alertmanager_reads_the_selector_of_classic_names(
    binary: Callable[[str], str], tmp_path: Path, value: str
) -> None:
    labels = {"alertname": "HighErrorRate", "path": value}
    file = tmp_path / "alertmanager.yml"
    yaml_text = "'" + selector(labels).replace("'", "''") + "'"
    file.write_text(CONFIGURATION.format(selector=yaml_text))

    def receiver(**given: str) -> str:
        pairs = [matcher(label, text) for label, text in given.items()]
        command = [binary("amtool"), "config", "routes", "test", f"--config.file={file}", *pairs]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    assert receiver(**labels) == "found"
    assert receiver(alertname="HighErrorRate", path=value + "x") == "other"


def test_command_that_silences_an_alert_has_each_matcher_as_one_word() -> None:
    labels = {"service.name": "$(touch x)'\"", "alertname": "A"}
    words = shlex.split(silence_command(labels))
    assert words[2:6] == ["silence", "add", 'alertname="A"', '"service.name"="$(touch x)\'\\""']


@pytest.mark.parametrize("term", ["", "High", "100%", 'a="b', "=x", '"a=b', 'a=b"c'])
def test_what_is_no_equality_is_no_label_search(term: str) -> None:
    assert read_equality(term) is None
