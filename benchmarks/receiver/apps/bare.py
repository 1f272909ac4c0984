"""The limit of the frame: Flask, and a view that answers OK."""

from flask import Flask

app = Flask(__name__)


@app.post("/webhooks/meetergo")
def webhook() -> str:
    """Store nothing."""
    return "OK"
