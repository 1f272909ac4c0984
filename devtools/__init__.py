"""Development tools, not part of the image: run, demo, send, and the sandbox that stands in for meetergo."""
