"""The resources of meetergo's API: `client.users.create(...)`, `client.webhooks.list()`, and so on."""
