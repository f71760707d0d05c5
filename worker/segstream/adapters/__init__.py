"""The only rooms that talk to Kafka and Redis, with in-memory twins of both."""
