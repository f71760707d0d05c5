"""Kafka: which worker owns which partition numbers, events in, changes out."""
