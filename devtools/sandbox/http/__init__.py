"""Requests and responses of the API: authentication, schemas, errors, rate limit."""
