"""The demo: real purchases go in, segment changes come out, on servers of its own."""
