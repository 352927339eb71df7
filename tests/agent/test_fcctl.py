"""fcctl as people use it: from a directory to versions, aliases and back."""
import json
import tempfile
import unittest

from agent import Agent, Connection


class Fcctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent()
        cls.dir = tempfile.TemporaryDirectory(prefix="fc-fcctl-")

    @classmethod
    def tearDownClass(cls):
        cls.dir.cleanup()
        cls.a.close()

    def ok(self, *words, stdin=b""):
        r = self.a.fcctl(*words, stdin=stdin)
        self.assertEqual((r.returncode, r.stderr), (0, b""), words)
        return r.stdout.decode()

    def fails(self, status, text, *words):
        r = self.a.fcctl(*words)
        self.assertEqual((r.returncode, r.stdout), (status, b""), words)
        self.assertIn(text, r.stderr.decode())
        self.assertEqual(r.stderr.decode().count("fcctl: "), 1 + r.stderr.decode().count("fcctl: hint"), r.stderr)

    def deploy(self, word):
        with open(self.dir.name + "/index.py", "w") as f:
            f.write("def handler(event, context):\n    return b'%s ' + event\n" % word)
        r = self.a.fcctl("deploy", "--name", "hello", "--runtime", "python3", "--handler", "index.handler", self.dir.name)
        self.assertEqual(r.returncode, 0, r.stderr)

    def test_versions_and_aliases(self):
        self.deploy("one")
        self.assertEqual(self.ok("publish", "hello", "--description", "the first"), "1\n")
        self.deploy("two")
        self.assertEqual(json.loads(self.ok("--format", "json", "publish", "hello"))["versionId"], "2")
        lines = self.ok("versions", "hello").splitlines()
        self.assertEqual([x.split()[0] for x in lines], ["VERSION", "2", "1"])
        self.assertTrue(lines[2].endswith("the first"))

        self.fails(2, "AliasNotFound", "alias", "hello", "prod")
        self.fails(2, "AliasNotFound", "alias", "hello", "prod", "--weight", "2=0.5")
        self.assertEqual(self.ok("alias", "hello", "prod", "--version", "1").splitlines()[1].split()[:2], ["prod", "1"])
        self.assertEqual(self.ok("invoke", "--qualifier", "prod", "--event", "x", "hello"), "one x")
        self.assertTrue(self.ok("alias", "hello", "prod", "--weight", "2=1").splitlines()[1].endswith(" 2=1"))
        self.assertEqual(self.ok("invoke", "-q", "prod", "-e", "x", "hello"), "two x")
        self.assertTrue(self.ok("alias", "hello", "prod", "--version", "1").splitlines()[1].endswith(" -"))
        self.assertEqual(self.ok("invoke", "-q", "prod", "-e", "x", "hello"), "one x")
        self.assertEqual(self.ok("invoke", "--event", "-", "hello", stdin=b"in"), "two in")
        self.assertEqual([x["aliasName"] for x in json.loads(self.ok("--format", "json", "aliases", "hello"))], ["prod"])
        self.assertEqual([x.split()[0] for x in self.ok("aliases", "hello").splitlines()], ["ALIAS", "prod"])

        self.fails(2, "VersionInUse", "versions", "--delete", "1", "hello")
        self.fails(2, "must be VERSION=SHARE", "alias", "hello", "prod", "--weight", "2")
        self.fails(2, "no other option", "alias", "hello", "prod", "--delete", "--version", "1")
        self.assertEqual(self.ok("alias", "--delete", "hello", "prod"), "")
        self.assertEqual(self.ok("versions", "--delete", "1", "hello"), "")
        self.assertEqual(len(self.ok("versions", "hello").splitlines()), 2)

    def test_how_many(self):
        self.a.shell("waits", "exec sleep 1000")
        self.fails(2, "ConcurrencyConfigNotFound", "concurrency", "waits")
        self.assertEqual(self.ok("concurrency", "waits", "--reserve", "1"), "1\n")
        self.assertEqual(self.ok("concurrency", "waits"), "1\n")
        self.assertEqual(self.ok("instances", "waits").splitlines()[1:], [])
        call = Connection(self.a.socket)
        call.request("POST", "/2023-03-30/functions/waits/invocations", b"")
        while not (rows := [x.split() for x in self.ok("instances", "waits").splitlines()[1:]]) or rows[0][1] != "Running":
            pass
        self.assertEqual((len(rows), rows[0][2:4]), (1, ["LATEST", "LATEST"]))
        self.assertEqual(json.loads(self.ok("--format", "json", "instances", "waits"))[0]["requestId"], rows[0][4])
        r = self.a.fcctl("invoke", "waits")
        self.assertIn(b"ResourceExhausted", r.stderr)
        call.close()
        self.assertEqual(self.ok("concurrency", "waits", "--delete"), "")
        self.fails(2, "exclude each other", "concurrency", "waits", "--delete", "--reserve", "1")


if __name__ == "__main__":
    unittest.main()
