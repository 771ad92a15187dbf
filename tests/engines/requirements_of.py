"""Prints what a wheel requires here, but for the named distributions.

    requirements_of.py WHEEL --without NAME...
"""
import argparse
import zipfile
from email.parser import BytesParser

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel")
    parser.add_argument("--without", nargs="+", default=[])
    arguments = parser.parse_args()
    without = set(map(canonicalize_name, arguments.without))
    with zipfile.ZipFile(arguments.wheel) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        described = BytesParser().parsebytes(wheel.read(metadata))
    for line in described.get_all("Requires-Dist", ()):
        requirement = Requirement(line)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and canonicalize_name(requirement.name) not in without:
            requirement.marker = None
            print(requirement)


if __name__ == "__main__":
    main()
