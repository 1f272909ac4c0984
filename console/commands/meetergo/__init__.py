"""Commands that manage what meetergo knows of us: the webhook, the hosts, their meeting types."""
