"""The tests. Their directories mirror the package's; :mod:`tests.support` has what they share."""
