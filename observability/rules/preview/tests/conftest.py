from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from observability.rules.preview.tests.past import Past


@pytest.fixture
def prometheus(settings: Any) -> Iterator[Past]:
    stand_in = Past()
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()
