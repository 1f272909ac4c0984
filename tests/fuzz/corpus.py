"""The corpus: inputs kept because they are good, or nearly."""

import json
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"


def load(name: str) -> Any:
    """What a file of the corpus holds."""
    return json.loads((CORPUS / f"{name}.json").read_text())


WORDS: list[str] = load("words")
