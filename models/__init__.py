"""What we remember: tables and the rules that belong to them, the database, the queue's door."""
