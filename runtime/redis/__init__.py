"""Redis: its connections, and what this installation keeps in it besides the queues."""
