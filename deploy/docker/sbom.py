"""Writes the image's bill of materials, SPDX 2.3 in JSON, to /usr/share/chunkkv/sbom.spdx.json of an image folder.

    sbom.py IMAGE_FOLDER VERSION

Reads, and removes, the list `packages` that assemble.sh left there: how a Debian package is linked, and its name.
"""
import hashlib
import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path


def debian_package(name: str) -> dict:
    version, architecture, source = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}\n${Architecture}\n${source:Package}\n", name],
        check=True, capture_output=True, text=True).stdout.splitlines()[:3]
    return {
        "SPDXID": "SPDXRef-deb-" + name.replace("+", "."),
        "name": name,
        "versionInfo": version,
        "sourceInfo": f"Debian source package {source}",
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": f"pkg:deb/debian/{name}@{version}?arch={architecture}&distro=debian-12",
        }],
    }


def bill_of_materials(image: Path, version: str, linked: list[tuple[str, str]]) -> dict:
    programs = sorted((image / "usr/bin").iterdir())
    digest = hashlib.sha256(b"".join(hashlib.sha256(program.read_bytes()).digest() for program in programs))
    packages = [(linkage, debian_package(name)) for linkage, name in linked]
    chunkkv = {
        "SPDXID": "SPDXRef-chunkkv",
        "name": "chunkkv",
        "versionInfo": version,
        "licenseDeclared": "Apache-2.0",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "copyrightText": "NOASSERTION",
    }
    # SOURCE_DATE_EPOCH: https://reproducible-builds.org/specs/source-date-epoch/
    created = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", 0)) or
                                     max(program.stat().st_mtime for program in programs), timezone.utc)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"chunkkv-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/chunkkv-{version}-{digest.hexdigest()}",
        "creationInfo": {"created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: sbom.py"]},
        "packages": [chunkkv, *(package for _, package in packages)],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
             "relatedSpdxElement": "SPDXRef-chunkkv"},
            *({"spdxElementId": "SPDXRef-chunkkv", "relationshipType": f"{linkage}_LINK",
               "relatedSpdxElement": package["SPDXID"]} for linkage, package in packages),
        ],
    }


def main():
    image, version = Path(sys.argv[1]), sys.argv[2]
    package_list = image / "packages"
    linked = [tuple(line.split()) for line in package_list.read_text().splitlines()]
    package_list.unlink()
    sbom = image / "usr/share/chunkkv/sbom.spdx.json"
    sbom.parent.mkdir(parents=True)
    sbom.write_text(json.dumps(bill_of_materials(image, version, linked), indent=1) + "\n")


if __name__ == "__main__":
    main()
