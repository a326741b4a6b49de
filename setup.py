"""Makes the README's links absolute: on a package index there is no file beside it.

All else is in setup.cfg.
"""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

config = ConfigParser()
config.read("setup.cfg", encoding="utf-8")
lines = config["metadata"]["project_urls"].strip().splitlines()
urls = dict(line.split(" = ") for line in lines)

text = Path("README.md").read_text(encoding="utf-8")
text = re.sub(r"\]\(docs/([\w-]+)\.rst\)", rf"]({urls['Documentation']}page/\1.html)", text)
text = re.sub(r"\]\((docs/_static/[^)]+)\)", rf"]({urls['Source']}/raw/main/\1)", text)
text = re.sub(r"\]\((?!https?:)([^)]+)\)", rf"]({urls['Source']}/blob/main/\1)", text)
setup(long_description=text)
