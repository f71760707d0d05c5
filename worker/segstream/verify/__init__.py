"""``segstream verify``: every rule and group membership worked out again from the log, the slow way, and compared.

`measures`, `conditions`, `instants` and `person` are a second implementation of what a definition means. They share
with the stream the parsed definitions (typed trees and feature definitions) and the reading of a record (whose it is,
when it happened, whether it can be used), and nothing else: no accumulator, no compiled condition, no timer. All
events of a user are kept in a list, and each value is counted from that list at each instant that matters.

`recount` does so for a partition, `against` compares with what Redis holds, and `walk` goes through log and users.
"""
