"""The corpus: inputs that are valid or nearly valid."""

import json
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"


def load(name: str) -> Any:
    """Return the content of a corpus file."""
    return json.loads((CORPUS / f"{name}.json").read_text())


WORDS: list[str] = load("words")
