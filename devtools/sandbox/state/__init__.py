"""The state of the sandbox, and people's actions on it."""
