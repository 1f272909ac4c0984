"""The version of meetergo-inbox: the one that pyproject.toml states, which no image carries."""

VERSION = "0.1.0"
