"""In-memory twins of Kafka and Redis, held to the same contract tests."""
