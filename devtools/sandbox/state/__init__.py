"""What the stand-in remembers, and what people do to it."""
