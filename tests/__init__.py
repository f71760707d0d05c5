"""A package, so that `from tests.servers import ...` finds this one whatever else is installed."""
