"""Layers: stored under a name and a number, shown at /opt, kept by those that have them, gone with the last."""
import base64
import concurrent.futures
import json
import os
import tempfile
import unittest
import urllib.parse

from agent import Agent, zip_of

F, L = "/2023-03-30/functions/", "/2023-03-30/layers"


def arn(name, version, region="", account=""):
    return "acs:fc:%s:%s:layers/%s/versions/%s" % (region, account, name, version)


class Base(unittest.TestCase):
    options = []
    principals = None

    @classmethod
    def setUpClass(cls):
        cls.a = Agent(*cls.options, principals=cls.principals)

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def refused(self, reply, status, code, *texts):
        self.assertEqual((reply.status, reply.code), (status, code), reply.body)
        for text in texts:
            self.assertIn(text, reply.json()["Message"])

    def layer(self, name, files, tenant="default", status=200, **fields):
        body = {"code": {"zipFile": base64.b64encode(zip_of(files)).decode()}, **fields}
        r = self.a.request("POST", "%s/%s/versions" % (L, name), json.dumps(body), X_Fcnode_Tenant=tenant)
        self.assertEqual(r.status, status, r.body)
        return r.json()

    def get(self, path, status=200, **headers):
        r = self.a.request("GET", path, **headers)
        self.assertEqual(r.status, status, r.body)
        return r.json()

    def delete(self, name, version):
        r = self.a.request("DELETE", "%s/%s/versions/%s" % (L, name, version))
        self.assertEqual((r.status, r.body), (204, b""))

    def say(self, name, **fields):
        self.a.shell(name, "cat /opt/say 2>&1; ls /opt 2>&1 | tr '\\n' ' '", **fields)

    def update(self, name, **fields):
        r = self.a.request("PUT", F + name, json.dumps(fields))
        self.assertEqual(r.status, 200, r.body)
        return r.json()

    def trees(self):
        """What is unpacked for /opt."""
        return sorted(os.listdir(self.a.dir + "/state/layers/opt"))

    def until_trees(self, count):
        """Until that many are left: a removal is asked for at once and again, while a sandbox ends, every two seconds."""
        for _ in range(200):
            if len([t for t in self.trees() if len(t) == 64]) == count:
                return
            self.a.request("GET", "/node/events?cursor=now&wait=200")
        self.fail("there are %s" % self.trees())


class Layers(Base):
    options = ["--max-layers", "12"]

    def test_life(self):
        a = self.a
        one = self.layer("life", {"say": "one\n"}, description="first", license="MIT", compatibleRuntime=["stdio", "python3"])
        self.assertEqual((one["version"], one["layerVersionArn"], one["description"], one["license"], one["compatibleRuntime"], one["acl"]),
                         (1, arn("life", 1, "local", "default"), "first", "MIT", ["stdio", "python3"], "0"))
        self.assertRegex(one["createTime"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        two = self.layer("life", {"say": "two\n"})
        self.assertEqual((two["version"], two["compatibleRuntime"]), (2, []))
        self.assertEqual(self.get(L + "/life/versions/1"), one)
        self.assertEqual(self.get("/2023-03-30/layerarn/" + urllib.parse.quote(one["layerVersionArn"], "")), one)
        self.assertEqual(self.get(L + "/life/versions")["layers"], [one, two])
        page = self.get(L + "/life/versions?limit=1")
        self.assertEqual((page["layers"], page["nextVersion"]), ([one], 2))
        self.assertEqual(self.get(L + "/life/versions?startVersion=2")["layers"], [two])
        self.assertEqual(self.get(L + "?prefix=life")["layers"], [two])
        self.assertEqual(self.get(L + "?prefix=life&public=true")["layers"], [])
        self.assertEqual(self.get(L + "?prefix=life&official=false")["layers"], [two])
        self.assertEqual(a.request("GET", one["code"]["location"]).body, zip_of({"say": "one\n"}))

        self.say("life", layers=[arn("life", 1)])
        self.assertEqual(self.get(F + "life")["layers"], [{"arn": arn("life", 1, "local", "default"), "size": one["codeSize"]}])
        self.assertEqual(a.invoke("life").body, b"one\nsay ")
        self.assertEqual(a.request("POST", F + "life/versions").json()["versionId"], "1")
        self.update("life", layers=[two["layerVersionArn"]])
        self.assertEqual(a.invoke("life").body, b"two\nsay ")

        # deleted, and all the same what has it keeps it: the version, and the function over an update of something else
        self.delete("life", 1)
        self.delete("life", 2)
        self.refused(a.request("GET", L + "/life/versions/1"), 404, "LayerVersionNotFound")
        self.assertEqual((self.get(L + "/life/versions")["layers"], self.get(L + "?prefix=life")["layers"]), ([], []))
        self.refused(a.create("other", {"bootstrap": ""}, "stdio", "bootstrap", layers=[arn("life", 1)]), 404, "LayerVersionNotFound", "'life'", "version 1")
        self.update("life", timeout=9, layers=[arn("life", 2)])
        self.assertEqual(a.invoke("life").body, b"two\nsay ")
        call = lambda q: a.request("POST", F + "life/invocations?qualifier=" + q, b"").body
        self.assertEqual(call("1"), b"one\nsay ")
        a.stop()
        a.start()
        self.assertEqual((call("1"), call("LATEST")), (b"one\nsay ", b"two\nsay "))
        a.crash()
        a.start()
        self.assertEqual((call("1"), call("LATEST")), (b"one\nsay ", b"two\nsay "))
        self.refused(a.request("GET", L + "/life/versions/1"), 404, "LayerVersionNotFound")

        # the last that has it takes its files along; a number never comes twice, also after a restart
        before = len([t for t in self.trees() if len(t) == 64])
        self.update("life", layers=[])
        self.assertEqual(a.invoke("life").body.split(b" ")[-1], b"")
        self.until_trees(before - 1)
        self.refused(a.request("GET", two["code"]["location"]), 404, "BlobNotFound")
        self.assertEqual(a.request("GET", one["code"]["location"]).status, 200)
        self.assertEqual(a.request("DELETE", F + "life").status, 204)
        self.until_trees(before - 2)
        a.stop()
        a.start()
        self.assertEqual(self.layer("life", {"say": "three\n"})["version"], 3)

    def test_order_and_names(self):
        top = self.layer("top", {"say": "top\n", "only-top": ""})["layerVersionArn"]
        low = self.layer("low", {"say": "low\n", "only-low": ""})["layerVersionArn"]
        same = self.layer("same", {"say": "top\n", "only-top": ""})["layerVersionArn"]  # content of top
        self.say("order", layers=[top, low])
        self.assertEqual(self.a.invoke("order").body, b"top\nonly-low only-top say ")
        self.update("order", layers=[low, top])
        self.assertEqual(self.a.invoke("order").body, b"low\nonly-low only-top say ")
        self.update("order", layers=[same, low, top])
        self.assertEqual(self.a.invoke("order").body, b"top\nonly-low only-top say ")

    def test_where_runtimes_look(self):
        self.layer("libs", {"python/greet.py": "def hello(): return 'from python'", "bin/tool": "#!/bin/sh\necho from tool",
                            "nodejs/node_modules/greet/index.js": "exports.hello = () => 'from node'"})
        self.a.python("py", "import greet\ndef handler(event, context): return greet.hello()", layers=[arn("libs", 1)])
        self.assertEqual(self.a.invoke("py").body, b"from python")
        r = self.a.create("js", {"index.js": "exports.handler = async () => require('greet').hello()"}, "nodejs", layers=[arn("libs", 1)])
        self.assertEqual(r.status, 200, r.body)
        self.assertEqual(self.a.invoke("js").body, b"from node")
        self.a.shell("sh", "tool", layers=[arn("libs", 1)])
        self.assertEqual(self.a.invoke("sh").body, b"from tool\n")

    def test_code_and_layer_of_one_bundle(self):
        """The same bytes as a function's code and as a layer: two trees, each gone with its own last holder."""
        files = {"bootstrap": "#!/bin/sh\ncat /opt/bootstrap | head -1; ls /code /opt"}
        self.assertEqual(self.a.create("both", files, "stdio", "bootstrap").status, 200)
        made = self.layer("both", files)
        self.update("both", layers=[made["layerVersionArn"]])
        self.assertEqual(self.a.invoke("both").body, b"#!/bin/sh\n/code:\nbootstrap\n\n/opt:\nbootstrap\n")
        count = len([t for t in self.trees() if len(t) == 64])
        self.delete("both", 1)
        self.update("both", layers=[])
        self.until_trees(count - 1)
        self.assertEqual(self.a.request("GET", made["code"]["location"]).status, 200)  # the function's code
        self.assertNotIn(b"/opt:\nbootstrap", self.a.invoke("both").body)
        self.assertEqual(self.a.request("DELETE", F + "both").status, 204)
        self.refused(self.a.request("GET", made["code"]["location"]), 404, "BlobNotFound")

    def test_refusals(self):
        a = self.a
        post = lambda body, name="no": a.request("POST", "%s/%s/versions" % (L, name), body if isinstance(body, bytes) else json.dumps(body))
        code = {"zipFile": base64.b64encode(zip_of({"a": "b"})).decode()}
        for body, text in (({}, "code"), ({"code": {}}, "code"), ({"code": {"zipFile": "!"}}, "zipFile"), ({"code": code, "descripton": ""}, "descripton"),
                           ({"code": code, "description": "x" * 257}, "256"), ({"code": code, "license": "x" * 257}, "license"),
                           ({"code": code, "compatibleRuntime": "x"}, "compatibleRuntime"), ({"code": code, "compatibleRuntime": [1]}, "compatibleRuntime[0]"),
                           ({"code": code, "compatibleRuntime": ["x"] * 33}, "32"), (b"[]", "object"), (b"{", "the body")):
            self.refused(post(body), 400, "InvalidArgument", text)
        self.refused(post({"code": {"blob": "sha256:" + "0" * 64}}), 404, "BlobNotFound")
        self.refused(post({"code": code}, "1a"), 400, "InvalidArgument", "layerName")
        bad = {"zipFile": base64.b64encode(zip_of({"../evil": "b"})).decode()}
        self.refused(post({"code": bad}), 400, "InvalidArgument", "dotdot")
        self.assertEqual(self.get(L + "/no/versions")["layers"], [])
        self.assertEqual(post({"code": code}).json()["version"], 1)  # refused ones took no number
        for version in "0", "x", "-1", "99999999999999999999":
            self.refused(a.request("GET", "%s/no/versions/%s" % (L, version)), 400, "InvalidArgument", "version")
        self.refused(a.request("DELETE", L + "/no/versions/2"), 404, "LayerVersionNotFound", "'no'")
        self.refused(a.request("GET", L + "/no/versions?startVersion=x"), 400, "InvalidArgument", "startVersion")
        self.refused(a.request("GET", "/2023-03-30/layerarn/acs:x"), 400, "InvalidArgument", "acs:x")
        self.refused(a.request("GET", "/2023-03-30/layerarn/" + urllib.parse.quote(arn("no", 1, "", "else"), "")), 404, "LayerVersionNotFound", "else")
        self.refused(a.create("f", {"b": ""}, "stdio", "b", layers=[arn("no", 1, "", "else")]), 400, "InvalidArgument", "account 'else'")
        self.refused(a.create("f", {"b": ""}, "stdio", "b", layers=[arn("no", 1), arn("no", 2)]), 400, "InvalidArgument", "twice")
        self.refused(a.create("f", {"b": ""}, "stdio", "b", layers=[arn("no", 7)]), 404, "LayerVersionNotFound", "version 7")
        self.refused(a.request("GET", F + "f"), 404, "FunctionNotFound")

    def test_tenants_and_limit(self):
        self.layer("hers", {"say": "her secret\n"}, tenant="hers")
        self.refused(self.a.request("GET", L + "/hers/versions/1"), 404, "LayerVersionNotFound")
        self.assertEqual(self.get(L + "?prefix=hers")["layers"], [])
        self.refused(self.a.create("spy", {"b": ""}, "stdio", "b", layers=[arn("hers", 1)]), 404, "LayerVersionNotFound")
        self.refused(self.a.create("spy", {"b": ""}, "stdio", "b", layers=[arn("hers", 1, "local", "hers")]), 400, "InvalidArgument", "its own tenant")
        blob = json.dumps({"code": {"blob": self.get(L + "/hers/versions/1", X_Fcnode_Tenant="hers")["code"]["location"][7:]}})
        self.refused(self.a.request("POST", L + "/mine/versions", blob), 404, "BlobNotFound")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            made = list(pool.map(lambda n: self.layer("hers", {"n": str(n)}, tenant="hers")["version"], range(11)))
        self.assertEqual(sorted(made), list(range(2, 13)))
        r = self.a.request("POST", L + "/hers/versions", blob, X_Fcnode_Tenant="hers")
        self.refused(r, 400, "LimitExceededError", "max-layers")

    def test_lost_tree_is_made_again(self):
        self.layer("lost", {"say": "found\n"})
        self.say("lost", layers=[arn("lost", 1)])
        self.a.stop()
        for tree in self.trees():
            if len(tree) == 64:
                path = self.a.dir + "/state/layers/opt/" + tree
                os.rename(path, path + ".gone")  # as if somebody had removed it: unpacked again from its bundle
        self.a.start()
        for _ in range(100):
            r = self.a.invoke("lost")
            if r.body.startswith(b"found"):
                break
        self.assertEqual(r.body, b"found\nsay ")

    def test_fcctl(self):
        with tempfile.TemporaryDirectory() as d:
            os.mkdir(d + "/layer")
            with open(d + "/layer/say", "w") as f:
                f.write("from fcctl\n")
            with open(d + "/program", "w") as f:
                f.write("#!/bin/sh\ncat /opt/say\n")
            os.chmod(d + "/program", 0o755)
            ok = lambda *words: self.a.fcctl(*words)
            self.assertEqual(ok("layer", "cli", d + "/layer", "--description", "a test", "--runtime", "stdio").stdout, b"cli:1\n")
            self.assertIn(b"cli:1", ok("layer", "cli").stdout)
            self.assertIn(b"a test", ok("layers", "cl").stdout)
            self.assertEqual(json.loads(ok("--format", "json", "layers", "cli").stdout)[0]["compatibleRuntime"], ["stdio"])
            r = ok("deploy", d + "/program", "--name", "cli", "--layer", "cli:1")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(ok("invoke", "cli").stdout, b"from fcctl\n")
            for words, text in ((("deploy", d + "/program", "--layer", "cli"), b"NAME:VERSION"), (("layer", "cli", d + "/program"), b"neither"),
                                (("layer", "cli", "--delete", "1", "--license", "x"), b"--delete"), (("layer", "cli", "--license", "x"), b"CODE"),
                                (("layer", "cli", "--delete", "9"), b"LayerVersionNotFound")):
                r = ok(*words)
                self.assertNotEqual(r.returncode, 0)
                self.assertIn(text, r.stderr)
            self.assertEqual(ok("layer", "cli", "--delete", "1").returncode, 0)
            self.assertEqual(ok("invoke", "cli").stdout, b"from fcctl\n")


if __name__ == "__main__":
    unittest.main()
