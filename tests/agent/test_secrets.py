"""Secrets: given to functions, sealed at rest, told to nobody else; and the keys they are sealed with."""
import base64
import glob
import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading
import unittest

from agent import BUILD, Agent, zip_of

F = "/2023-03-30/functions/"
S = "/node/secrets/"
KEY1, KEY2 = "key one " + "1f" * 32 + "\n", "# the new one\nkey two " + "A2" * 32 + "\n"
TEXT = "correct horse battery staple"
WHO = """
principal deployer
tenant default
allow fc:* node:PutBlob
allow node:ListSecrets

principal keeper-of-secrets
tenant default
allow node:PutSecret node:UseSecret fc:CreateFunction fc:UpdateFunction
"""
ECHO = "import os\ndef handler(event, context): return repr(os.environ.get(event.decode() or 'PASSWORD'))"

SPY = base64.b64encode(zip_of({"spy": "#!/bin/sh\necho spying; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; exit 0\n"})).decode()


class Base(unittest.TestCase):
    options = []
    principals = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="fc-secret-keys-")
        self.addCleanup(subprocess.run, ["rm", "-r", self.dir])
        self.keys(KEY1)
        self.a = Agent("--secret-keys", self.dir + "/keys", *self.options, principals=self.principals)
        self.addCleanup(self.a.close)

    def keys(self, text):
        with open(os.open(self.dir + "/keys", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(text)

    def reload(self, text, says="event=reload principals="):
        self.keys(text)
        before = self.a.text().count(says)
        self.a.process.send_signal(signal.SIGHUP)
        while self.a.text().count(says) == before:
            self.assertIsNone(self.a.process.poll())
            threading.Event().wait(0.02)

    def put(self, name, text=TEXT, **headers):
        return self.a.request("PUT", S + name, text, **headers)

    def refused(self, reply, status, code, *texts):
        self.assertEqual((reply.status, reply.code), (status, code), reply.body)
        for text in texts:
            self.assertIn(text, reply.json()["Message"])


class Secrets(Base):
    def test_life(self):
        a = self.a
        r = self.put("db")
        self.assertEqual(r.status, 200, r.body)
        self.assertEqual(sorted(r.json()), ["createdTime", "keyId", "lastModifiedTime", "secretName"])
        self.assertEqual(a.request("GET", S + "db").json(), r.json())
        a.python("f", ECHO, secrets={"PASSWORD": "db"})
        self.assertEqual(a.request("GET", F + "f").json()["secrets"], {"PASSWORD": "db"})
        self.assertEqual(a.invoke("f").body, repr(TEXT).encode())
        # a version has it by its name: it gets the text that there is when it runs
        self.assertEqual(a.request("POST", F + "f/versions", "{}").status, 200)
        self.assertEqual(self.put("db", "another\nline").json()["createdTime"], r.json()["createdTime"])
        for q in "", "?qualifier=1":
            self.assertEqual(a.request("POST", F + "f/invocations" + q).body, repr("another\nline").encode())
        # gone only when nothing has it
        self.refused(a.request("DELETE", S + "db"), 409, "SecretInUse", "'f' (LATEST)", "'db'")
        self.assertEqual(a.request("PUT", F + "f", '{"secrets": {}}').status, 200)
        self.assertNotIn("secrets", a.request("GET", F + "f").json())
        self.assertEqual(a.invoke("f").body, b"None")
        self.refused(a.request("DELETE", S + "db"), 409, "SecretInUse", "'f' (1)")
        self.assertEqual(a.request("DELETE", F + "f/versions/1").status, 204)
        self.assertEqual(a.request("DELETE", S + "db").status, 204)
        for method in "GET", "DELETE":
            self.refused(a.request(method, S + "db"), 404, "SecretNotFound", "'db'")
        self.assertEqual(a.metric("fcnode_secrets"), 0)

    def test_all_runtimes_get_them(self):
        a = self.a
        self.put("s")
        a.shell("sh", 'printf %s "$PASSWORD"', secrets={"PASSWORD": "s"})
        self.assertEqual(a.invoke("sh").body, TEXT.encode())
        a.create("js", {"index.js": "exports.handler = async () => process.env.PASSWORD"}, "nodejs", secrets={"PASSWORD": "s"})
        self.assertIn(TEXT, a.invoke("js").body.decode())
        texts = {"s%d" % n: "%d" % n * 4096 for n in range(10)}
        for name, text in texts.items():
            self.assertEqual(self.put(name, text).status, 200)
        a.shell("all", "env", secrets={n.upper(): n for n in texts})
        for name, text in texts.items():
            self.assertIn("%s=%s\n" % (name.upper(), text), a.invoke("all").body.decode())

    def test_refusals_and_lists(self):
        a = self.a
        for text in "", "a\0b":
            self.refused(self.put("s", text), 400, "InvalidArgument", "1 to 4096 bytes")
        self.refused(self.put("s", "x" * 4097), 400, "EntityTooLarge", "4096")
        self.refused(self.put("a%20b"), 400, "InvalidArgument", "secretName")
        for n in range(5):
            self.assertEqual(self.put("n%d" % n).status, 200)
        self.put("other")
        page = a.request("GET", "/node/secrets?limit=2&prefix=n").json()
        self.assertEqual(([s["secretName"] for s in page["secrets"]], page["nextToken"]), (["n0", "n1"], "n2"))
        page = a.request("GET", "/node/secrets?prefix=n&nextToken=" + page["nextToken"]).json()
        self.assertEqual(([s["secretName"] for s in page["secrets"]], page.get("nextToken")), (["n2", "n3", "n4"], None))
        self.assertEqual(a.request("GET", "/node/secrets", X_Fcnode_Tenant="other").json(), {"secrets": []})
        self.refused(a.request("GET", S + "n0", X_Fcnode_Tenant="other"), 404, "SecretNotFound")
        for secrets, text in (({"A": "nobody"}, "no secret 'nobody'"), ({"FC_X": "n0"}, "secrets: FC_X: names that begin with FC_"), ({"A": 5}, "secrets.A"),
                              ({"a-b": "n0"}, "secrets: a-b is no name"), ({"A": "a b"}, "never its text"), (["n0"], "secrets: must be an object"),
                              ({"A%d" % n: "n0" for n in range(17)}, "at most 16")):
            self.refused(a.create("f", {"index.py": ECHO}, secrets=secrets), 400, "InvalidArgument", text)
        self.refused(a.create("f", {"index.py": ECHO}, secrets={"A": "n0"}, environmentVariables={"A": "x"}), 400, "InvalidArgument", "secrets.A", "too")
        self.assertEqual(a.request("GET", F + "f").status, 404)

    def test_nobody_else_sees_it(self):
        """Not in any file of the agent, nor its log, events, usage or metrics, nor any process of the host but the function's own, nor inside the sandbox of another."""
        a = self.a
        self.put("s")
        a.shell("holder", 'cat >/dev/null; [ "$PASSWORD" ] && sleep 600', secrets={"PASSWORD": "s"}, timeout=600)
        call = threading.Thread(target=lambda: self.quietly("holder"), daemon=True)
        call.start()
        while not a.request("GET", F + "holder/instances").json()["instances"]:
            pass
        cursor, seen = "", False
        while not seen:
            page = a.request("GET", "/node/events?wait=20000&cursor=" + cursor).json()
            cursor, seen = page["cursor"], any(e["event"] == "instance.running" for e in page["events"])
            self.assertNotIn(TEXT, json.dumps(page))
        r = a.request("POST", F[:-1], json.dumps({"functionName": "spy", "runtime": "stdio", "handler": "spy", "code": {"zipFile": SPY}}),
                      X_Fcnode_Tenant="other")
        self.assertEqual(r.status, 200, r.body)
        r = a.request("POST", F + "spy/invocations", X_Fcnode_Tenant="other")
        self.assertEqual(r.status, 200, r.body)
        self.assertIn(b"spying", r.body)
        self.assertNotIn(TEXT.encode(), r.body)
        holders = [p for p in glob.glob("/proc/[0-9]*/environ") if TEXT.encode() in self.read(p)]
        self.assertTrue(holders)
        for p in holders:  # in sandboxes only: they have a pid namespace of their own
            self.assertNotEqual(os.readlink(os.path.dirname(p) + "/ns/pid"), os.readlink("/proc/self/ns/pid"))
        for p in glob.glob("/proc/[0-9]*/cmdline"):
            self.assertNotIn(TEXT.encode(), self.read(p))
        for path in "/usage", "/logs?functionName=holder", "/metrics", F + "holder", S + "s", "/node/secrets":
            self.assertNotIn(TEXT, a.request("GET", path).body.decode())
        found = 0
        for base, _, files in os.walk(a.dir):
            for name in files:
                found += 1
                self.assertNotIn(TEXT.encode(), self.read(base + "/" + name), base + "/" + name)
        self.assertGreater(found, 3)

    def quietly(self, name):
        try:
            self.a.invoke(name)
        except Exception:  # the agent is stopped under it
            pass

    def read(self, path):
        try:
            with open(path, "rb") as f:
                return f.read()
        except OSError:
            return b""

    def test_durable(self):
        a = self.a
        self.put("s")
        a.python("f", ECHO, secrets={"PASSWORD": "s"})
        for end in a.crash, a.stop:
            end()
            a.start()
            self.assertEqual(a.invoke("f").body, repr(TEXT).encode())
        # nor does it open as another tenant's, or under another name
        a.stop()
        with sqlite3.connect(a.dir + "/state/serve/state.db") as db:
            db.execute("INSERT INTO secrets SELECT 'other', name, key_id, sealed, created_ms, modified_ms FROM secrets")
            db.execute("INSERT INTO secrets SELECT 'default', 'moved', key_id, sealed, created_ms, modified_ms FROM secrets WHERE tenant = 'default'")
            db.execute("INSERT INTO secrets SELECT 'default', 'cut', key_id, x'00', created_ms, modified_ms FROM secrets WHERE name = 's' AND tenant = 'default'")
        db.close()
        a.start()
        for name in "moved", "cut":
            a.request("PUT", F + "f", json.dumps({"secrets": {"PASSWORD": name}}))
            self.refused(a.invoke("f"), 503, "SecretUnavailable", "'%s' does not open" % name)
        self.assertEqual([u["outcome"] for u in a.usage(functionName="f")], ["ok", "ok"])  # and nothing ran, or is billed


    def test_fcctl(self):
        a = self.a
        r = a.fcctl("secret", "db", stdin=(TEXT + "\n").encode())
        self.assertEqual((r.returncode, r.stdout), (0, b""), r.stderr)
        with open(self.dir + "/text", "w") as f:
            f.write("line\n")
        self.assertEqual(a.fcctl("secret", "file", "--file", self.dir + "/text").returncode, 0)
        a.python("f", ECHO)
        r = a.fcctl("update", "--name", "f", "--secret", "PASSWORD=db", "--secret", "OTHER=file")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual((a.invoke("f").body, a.invoke("f", b"OTHER").body), (repr(TEXT).encode(), b"'line\\n'"))
        r = a.fcctl("secrets")
        self.assertEqual([x.split()[0] for x in r.stdout.decode().splitlines()], ["SECRET", "db", "file"], r.stderr)
        self.assertEqual([s["secretName"] for s in json.loads(a.fcctl("--format", "json", "secrets", "d").stdout)], ["db"])
        r = a.fcctl("secret", "db", "--delete")
        self.assertIn(b"'f' (LATEST)", r.stderr)
        self.assertEqual(a.fcctl("update", "--name", "f", "--secret", "OTHER=file").returncode, 0)
        self.assertEqual(a.fcctl("secret", "db", "--delete").returncode, 0)
        for words, says in ((["secret", "db", "--delete", "--file", "x"], b"--delete goes with no --file"), (["secret", "x", "--file", "/nowhere"], b"open /nowhere"),
                            (["secret", "x", "--file", "/bin/sh"], b"at most 4096 bytes"), (["update", "--name", "f", "--secret", "A"], b"VARIABLE=NAME")):
            r = a.fcctl(*words)
            self.assertEqual((r.returncode != 0, says in r.stderr), (True, True), r.stderr)


class Limits(Base):
    options = ["--max-secrets", "2"]

    def test_limit(self):
        self.put("a"), self.put("b")
        self.refused(self.put("c"), 429, "ResourceExhausted", "max-secrets (2)")
        self.assertEqual(self.put("b", "other").status, 200)
        self.assertEqual(self.put("c", X_Fcnode_Tenant="other").status, 200)
        self.assertEqual(self.a.request("DELETE", S + "a").status, 204)
        self.assertEqual(self.put("c").status, 200)


class Keys(Base):
    def until(self, metric, value):
        while self.a.metric(metric) != value:
            self.assertIsNone(self.a.process.poll())

    def test_rotation(self):
        a = self.a
        for n in range(20):
            self.put("s%d" % n, TEXT + str(n))
        a.python("f", ECHO, secrets={"PASSWORD": "s7"})
        self.reload(KEY2 + KEY1)
        self.until("fcnode_secrets_of_old_keys", 0)
        self.assertEqual({s["keyId"] for s in a.request("GET", "/node/secrets").json()["secrets"]}, {"two"})
        self.reload(KEY2)  # the old one is not needed any more
        self.assertEqual((a.metric("fcnode_secrets_without_key"), a.invoke("f").body), (0, repr(TEXT + "7").encode()))
        self.assertIn("event=secrets resealed=20 key=two", a.text())
        a.stop()
        a.start()
        self.assertEqual(a.invoke("f").body, repr(TEXT + "7").encode())
        # a key that is lost, and put back
        self.reload(KEY1)
        self.assertEqual(a.metric("fcnode_secrets_without_key"), 20)
        self.refused(a.invoke("f"), 503, "SecretUnavailable", "sealed with key two, which this node does not have")
        self.assertIn("20 of 20 secrets are sealed with keys", a.text())
        self.assertEqual(self.put("s7").json()["keyId"], "one")  # given again, it does not need the lost one
        self.assertEqual(a.invoke("f").body, repr(TEXT).encode())
        self.reload(KEY1 + KEY2)
        self.until("fcnode_secrets_of_old_keys", 0)
        # the same id with other bytes
        self.reload(KEY1.replace("1f", "1e"))
        self.refused(a.invoke("f"), 503, "SecretUnavailable", "that key is another now")
        for secret in "1f1f", "1e1e", "A2A2", TEXT:
            self.assertNotIn(secret, a.text())

    def test_changes_while_keys_change(self):
        a = self.a
        for n in range(200):
            self.put("s%d" % n, "first")
        self.keys(KEY2 + KEY1)
        a.process.send_signal(signal.SIGHUP)
        for n in range(0, 200, 2):
            self.assertEqual(self.put("s%d" % n, "second").status, 200)
        self.assertEqual(a.request("DELETE", S + "s199").status, 204)
        while not all(s["keyId"] == "two" for s in a.request("GET", "/node/secrets?limit=100").json()["secrets"]) or \
                a.metric("fcnode_secrets_of_old_keys") or a.metric("fcnode_secrets") != 199:
            self.assertIsNone(a.process.poll())
        for again in range(2):
            for n in 0, 1, 100, 197, 198:
                a.shell("f%d" % n, 'printf %s "$A"', secrets={"A": "s%d" % n}) if again == 0 else None
                self.assertEqual(a.invoke("f%d" % n).body, b"first" if n % 2 else b"second")
            a.stop()
            a.start()

    def test_a_bad_file_changes_nothing(self):
        a = self.a
        self.put("s")
        a.python("f", ECHO, secrets={"PASSWORD": "s"})
        for text, says in (("", "holds no key"), ("# none\n", "holds no key"), (KEY1 + "key two xyz\n", "line 2: key two: must be 32 bytes in hex"), (KEY1 * 2, "stands here twice"),
                           ("1f" * 32, "line 1: not"), ("key a/b " + "00" * 32, "the id of a key")):
            self.reload(text, "stay as they were")
            self.assertIn(says, a.text())
        os.chmod(self.dir + "/keys", 0o640)
        self.reload(KEY1, "stay as they were")
        self.assertIn("only root may read or write it", a.text())
        self.assertEqual(a.invoke("f").body, repr(TEXT).encode())
        self.assertNotIn("1f1f", a.text())

    def test_refused_at_start(self):
        for text, mode, says in (("", 0o600, "holds no key"), (KEY1, 0o604, "only root"), (None, 0, "No such file"), ("key x 00\n", 0o600, "32 bytes in hex"), ("#" * 20000, 0o600, "more than 16384 bytes")):
            path = self.dir + "/k"
            if text is not None:
                with open(path, "w") as f:
                    f.write(text)
                os.chmod(path, mode)
            r = subprocess.run([BUILD + "/fc-agent", "--state-dir", self.dir + "/s", "--runtime-dir", self.dir + "/r", "--user", "65534:65534",
                                "--secret-keys", path if text is not None else path + "-none"], capture_output=True, text=True)
            self.assertEqual((r.returncode, says in r.stderr), (2, True), r.stderr)

    def test_without_keys(self):
        a = Agent()
        try:
            self.refused(a.request("PUT", S + "s", TEXT), 501, "NotImplemented", "secret-keys")
            self.refused(a.create("f", {"index.py": ECHO}, secrets={"A": "s"}), 400, "InvalidArgument", "no secret 's'")
            self.assertEqual(a.request("GET", "/node/secrets").json(), {"secrets": []})
        finally:
            a.close()


class Permissions(Base):
    options = ["--allow-user", "65533", "--principal-of", "65533=deployer", "--allow-user", "65532", "--principal-of",
               "65532=keeper-of-secrets"]
    principals = WHO

    def ask(self, uid, method, path, body=b""):
        r = subprocess.run(["curl", "-s", "--unix-socket", self.a.socket, "-X", method, "-d", "@-", "http://x" + path], input=body, capture_output=True,
                           user=uid, group=uid, extra_groups=[])
        return json.loads(r.stdout)

    def test_who_may(self):
        a = self.a
        self.assertEqual(self.ask(65532, "PUT", S + "s", TEXT.encode())["secretName"], "s")
        self.assertIn("lacks node:GetSecret", self.ask(65532, "GET", S + "s")["Message"])
        self.assertIn("lacks node:DeleteSecret", self.ask(65532, "DELETE", S + "s")["Message"])
        self.assertIn("lacks node:PutSecret", self.ask(65533, "PUT", S + "s", b"x")["Message"])
        self.assertEqual([s["secretName"] for s in self.ask(65533, "GET", "/node/secrets")["secrets"]], ["s"])
        a.create("f", {"index.py": ECHO})
        update = lambda uid, secrets: self.ask(uid, "PUT", F + "f", json.dumps({"secrets": secrets}).encode())
        self.assertIn("lacks node:UseSecret", update(65533, {"A": "s"})["Message"])
        self.assertEqual(update(65532, {"A": "s"})["secrets"], {"A": "s"})
        self.assertEqual(update(65533, {"B": "s"})["secrets"], {"B": "s"})  # it has that one
        self.assertEqual(update(65533, {}).get("secrets"), None)
        self.assertIn("lacks node:UseSecret", update(65533, {"A": "s"})["Message"])


if __name__ == "__main__":
    unittest.main()
