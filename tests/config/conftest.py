"""What the tests of the configuration share: loading a text, and the faults that it has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from billing.config import Config, load_config
from billing.errors import ConfigError


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Config]:
    """Loads a config.toml with this text in a directory of its own."""

    def call(text: str = "", environ: dict[str, str] | None = None) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, environ or {})

    return call


@pytest.fixture
def faults(load: Callable[..., Config]) -> Callable[..., tuple[str, ...]]:
    """The faults that loading names."""

    def call(text: str = "", environ: dict[str, str] | None = None) -> tuple[str, ...]:
        with pytest.raises(ConfigError) as refused:
            load(text, environ)
        assert refused.value.exit_code == 78
        assert str(refused.value) == "\n".join(refused.value.faults)
        return refused.value.faults

    return call
