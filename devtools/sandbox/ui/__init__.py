"""The page on which a developer books, moves and cancels."""
