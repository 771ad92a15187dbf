"""Every rendered object fits Kubernetes' own schema of its kind, and has no field that the kind has not."""
import json

import pytest
from deploy_tools import CACHE
from value_matrix import MATRIX, SERVER_TLS

jsonschema = pytest.importorskip("jsonschema")

# The published schemas say `string`, and describe in words what else may stand there.
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def refuse_unknown_fields(schema):
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for inner in list(schema.values()):
            refuse_unknown_fields(inner)
    elif isinstance(schema, list):
        for inner in schema:
            refuse_unknown_fields(inner)


@pytest.fixture(scope="module")
def schemas():
    files = sorted((CACHE / "openapi").glob("*.json"))
    if not files:
        pytest.skip("Kubernetes' schemas are not there: tests/deploy/run.sh copies them")
    found = {}
    for file in files:
        found |= json.loads(file.read_text())["components"]["schemas"]
    found |= {INT_OR_STRING: {"type": ["integer", "string"]}, QUANTITY: {"type": ["integer", "number", "string"]}}
    refuse_unknown_fields(found)
    return found


@pytest.fixture(scope="module")
def errors_of(schemas):
    kinds = {(kind["group"], kind["version"], kind["kind"]): name for name, schema in schemas.items()
             for kind in schema.get("x-kubernetes-group-version-kind", [])}

    def errors(item):
        group, _, version = item["apiVersion"].rpartition("/")
        name = kinds[group, version, item["kind"]]
        root = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        return [f"{list(error.absolute_path)}: {error.message[:200]}"
                for error in jsonschema.Draft7Validator(root).iter_errors(item)]

    return errors


def of_kubernetes(objects):
    return [item for item in objects.values() if not item["apiVersion"].startswith("monitoring.coreos.com/")]


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_objects_fit_their_schemas(errors_of, render, values):
    objects = of_kubernetes(render(values))
    assert len(objects) >= 5
    assert not [error for item in objects for error in errors_of(item)]


def test_a_misspelt_field_does_not_fit(errors_of, render):
    item = render(SERVER_TLS)["StatefulSet", "store-chunkkv"]
    item["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    assert errors_of(item)
