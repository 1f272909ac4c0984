"""What every command shares: options, errors, progress, the stores."""
