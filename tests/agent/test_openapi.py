"""contrib/openapi.json against the server: what it answers is what its schemas say, and no more. That every path is
there, and the reverse, is tests/lint/check-openapi's matter."""
import json
import os
import re
import tempfile
import unittest
import urllib.parse

from agent import Agent

F = "/2023-03-30/functions/"
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../contrib/openapi.json"), encoding="utf-8") as f:
    SPEC = json.load(f)
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def resolve(schema):
    while "$ref" in schema:
        at = SPEC
        for part in schema["$ref"][2:].split("/"):
            at = at[part]
        schema = at
    return schema


def wrong(value, schema, at="$"):
    """What of the value is not as the schema says: the part of OpenAPI 3.0 that the file uses."""
    schema = resolve(schema)
    if value is None:
        return [] if schema.get("nullable") else [at + ": null"]
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return ["%s: no %s but %r" % (at, kind, value)]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append("%s: %r is none of %s" % (at, value, schema["enum"]))
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append("%s: %r does not match %s" % (at, value, schema["pattern"]))
    if schema.get("format") == "date-time" and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
        found.append("%s: %r is no time" % (at, value))
    if "minimum" in schema and value < schema["minimum"] or "maximum" in schema and value > schema["maximum"]:
        found.append("%s: %r is out of bounds" % (at, value))
    if kind == "array":
        for i, item in enumerate(value):
            found += wrong(item, schema["items"], "%s[%d]" % (at, i))
    if kind == "object":
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += ["%s: no %s" % (at, name) for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in properties:
                found += wrong(item, properties[name], at + "." + name)
            elif more is False:
                found.append("%s: %s is not in the schema" % (at, name))
            elif more is not True:
                found += wrong(item, more, at + "." + name)
    return found


class Validator(unittest.TestCase):
    def test_it_finds_faults(self):
        good = {"aliasName": "a", "versionId": "1", "description": "", "additionalVersionWeight": {"2": 0.5},
                "createdTime": "2026-11-22T10:00:00Z", "lastModifiedTime": "2026-11-22T10:00:00Z"}
        alias = {"$ref": "#/components/schemas/Alias"}
        self.assertEqual(wrong(good, alias), [])
        for change in {"versionId": 1}, {"more": 1}, {"additionalVersionWeight": {"2": "x"}}, {"additionalVersionWeight": {"2": 2}}, \
                {"createdTime": "today"}, {"description": None}:
            self.assertEqual(len(wrong({**good, **change}, alias)), 1, change)
        del good["versionId"]
        self.assertEqual(wrong(good, alias), ["$: no versionId"])


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.NamedTemporaryFile("w", prefix="fc-secret-keys-")
        cls.keys.write("key k " + "00" * 32)
        cls.keys.flush()
        cls.a = Agent("--secret-keys", cls.keys.name)

    @classmethod
    def tearDownClass(cls):
        cls.a.close()
        cls.keys.close()

    def answer(self, method, path, template, body=None, status=None):
        """The reply of a request, held against the operation's schema for its status."""
        operation = SPEC["paths"][template][method.lower()]
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None and not isinstance(body, bytes):
            self.assertEqual(wrong(body, operation["requestBody"]["content"]["application/json"]["schema"]), [], path)
        r = self.a.request(method, path, raw)
        named = str(r.status) in operation["responses"]
        if status is None:
            self.assertTrue(named, "%s %s: status %d, %r" % (method, path, r.status, r.body))
        else:
            self.assertEqual((r.status, named), (status, False), r.body)
        response = resolve(operation["responses"][str(r.status) if named else "default"])
        content = response.get("content", {})
        if r.headers.get("Content-Type") == "application/json" and content:
            self.assertEqual(wrong(json.loads(r.body), content["application/json"]["schema"]), [], "%s %s" % (method, path))
        elif not content:
            self.assertEqual(r.body, b"")
        else:
            self.assertIn(r.headers["Content-Type"].split(";")[0], content)
        self.asked.add(operation["operationId"])
        return r

    def test_every_operation(self):
        self.asked = set()
        ask, one = self.answer, "/2023-03-30/functions/{functionName}"
        code = self.a.create("seed", {"bootstrap": "#!/bin/sh\ncat\n"}, "stdio", "bootstrap").json()
        seed = ask("GET", F + "seed/code", one + "/code").json()
        self.assertEqual(seed["checksum"], code["codeChecksum"])
        bundle = ask("GET", "/blobs/" + seed["digest"], "/blobs/{digest}").body
        ask("PUT", "/blobs/" + seed["digest"], "/blobs/{digest}", bundle)
        ask("POST", F[:-1], F[:-1], {"functionName": "f", "runtime": "stdio", "handler": "bootstrap", "memorySize": 128, "cpu": 0.5,
                                     "environmentVariables": {"A": "b"}, "code": {"blob": seed["digest"]}})
        ask("PUT", F + "f", one, {"description": "x", "timeout": 20})
        ask("GET", F + "f", one)
        self.assertIn("nextToken", ask("GET", F[:-1] + "?limit=1", F[:-1]).json())
        call = ask("POST", F + "f/invocations", one + "/invocations", b"event")
        self.assertEqual(call.body, b"event")
        self.assertEqual(ask("POST", "/2015-03-31/functions/f/invocations", "/2015-03-31/functions/{functionName}/invocations", b"e").body, b"e")
        self.a.shell("bad", "exit 3")
        self.assertEqual(ask("POST", F + "bad/invocations", one + "/invocations", b"").json()["errorType"], "Runtime.ExitError")
        for _ in range(2):
            ask("POST", F + "f/versions", one + "/versions", {"description": "v"})
        self.assertIn("nextToken", ask("GET", F + "f/versions?limit=1", one + "/versions").json())
        ask("POST", F + "f/aliases", one + "/aliases", {"aliasName": "live", "versionId": "1", "additionalVersionWeight": {"2": 0.25}})
        ask("PUT", F + "f/aliases/live", one + "/aliases/{aliasName}", {"versionId": "2"})
        ask("GET", F + "f/aliases/live", one + "/aliases/{aliasName}")
        ask("GET", F + "f/aliases", one + "/aliases")
        ask("DELETE", F + "f/versions/2", one + "/versions/{versionId}", status=409)
        ask("DELETE", F + "f/aliases/live", one + "/aliases/{aliasName}")
        ask("DELETE", F + "f/versions/2", one + "/versions/{versionId}")
        ask("PUT", F + "f/concurrency", one + "/concurrency", {"reservedConcurrency": 5})
        ask("GET", F + "f/concurrency", one + "/concurrency")
        ask("GET", "/2023-03-30/concurrency-configs", "/2023-03-30/concurrency-configs")
        ask("DELETE", F + "f/concurrency", one + "/concurrency")
        ask("GET", F + "f/instances", one + "/instances")
        layer = "/2023-03-30/layers/{layerName}/versions"
        made = ask("POST", "/2023-03-30/layers/l/versions", layer, {"code": {"blob": seed["digest"]}, "compatibleRuntime": ["stdio"],
                                                                    "description": "d", "license": "MIT"}).json()
        ask("POST", "/2023-03-30/layers/l/versions", layer, {"code": {"blob": seed["digest"]}})
        ask("GET", "/2023-03-30/layers", "/2023-03-30/layers")
        self.assertIn("nextVersion", ask("GET", "/2023-03-30/layers/l/versions?limit=1", layer).json())
        ask("GET", "/2023-03-30/layers/l/versions/1", layer + "/{version}")
        ask("GET", "/2023-03-30/layerarn/" + urllib.parse.quote(made["layerVersionArn"], ""), "/2023-03-30/layerarn/{arn}")
        self.assertEqual(len(ask("PUT", F + "f", one, {"layers": [made["layerVersionArn"]]}).json()["layers"]), 1)
        ask("DELETE", "/2023-03-30/layers/l/versions/1", layer + "/{version}")
        secret = "/node/secrets/{secretName}"
        for name in "s", "t":
            ask("PUT", "/node/secrets/" + name, secret, b"text")
        ask("GET", "/node/secrets/s", secret)
        self.assertIn("nextToken", ask("GET", "/node/secrets?limit=1", "/node/secrets").json())
        self.assertEqual(ask("PUT", F + "f", one, {"secrets": {"S": "s"}}).json()["secrets"], {"S": "s"})
        ask("DELETE", "/node/secrets/s", secret, status=409)
        ask("DELETE", "/node/secrets/t", secret)
        ask("DELETE", F + "f", one)
        ask("GET", F + "f", one, status=404)
        ask("GET", "/logs?limit=1", "/logs")
        ask("GET", "/logs?requestId=" + call.headers["X-Fc-Request-Id"], "/logs")
        self.assertTrue(ask("GET", "/usage", "/usage").json()["records"])
        self.assertTrue(ask("GET", "/node/events", "/node/events").json()["events"])
        for path in "/healthz", "/metrics", "/node/info", "/node/capacity", "/node/doctor", "/node/whoami", "/node/principals":
            ask("GET", path, path)
        self.assertTrue(ask("GET", "/node/grants?function=seed", "/node/grants").json()["grants"])
        ask("PUT", "/node/drain", "/node/drain", {"reason": "why"})
        ask("GET", "/node/drain", "/node/drain")
        ask("DELETE", "/node/drain", "/node/drain")
        everything = {o["operationId"] for path in SPEC["paths"].values() for o in path.values()}
        self.assertEqual(everything - self.asked, set())


if __name__ == "__main__":
    unittest.main()
