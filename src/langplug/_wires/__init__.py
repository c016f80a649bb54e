"""What a client's and a server's side of a wire share: names and tables, without code that reads or writes."""
