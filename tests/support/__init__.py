"""Servers, apps, clients and waits that tests share, one subject a module."""
