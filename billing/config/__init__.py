"""Configuration: what it may say (schema), and where each value comes from (load, secrets)."""

from billing.config.load import Config, Origin, load_config
from billing.config.schema import Settings
from billing.config.secrets import Secret

__all__ = ["Config", "Origin", "Secret", "Settings", "load_config"]
