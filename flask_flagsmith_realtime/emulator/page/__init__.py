"""The page on which people change flags, as a Flask app of its own.

It shows the environment and its use, and its forms change it. The forms are guarded against
requests from other sites.
"""

from __future__ import annotations

from .routes import create_page

__all__ = ["create_page"]
