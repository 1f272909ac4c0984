"""What every process needs: settings, stores, signatures, encryption, logs and metrics."""
