"""The outbox: plans and sends notifications of booking changes."""
