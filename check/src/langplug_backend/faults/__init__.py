"""What can go wrong, a file a kind: each fault is an edit of a response."""
