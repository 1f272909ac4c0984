"""What all commands share: options, errors, progress, the stores."""
