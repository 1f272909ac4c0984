"""What all commands share: options, progress, the stores, the API client."""
