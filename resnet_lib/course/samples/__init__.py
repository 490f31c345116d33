"""Two items of a pool, to be copied and changed. They are published with the book, so they are no secret."""
