"""Deploying: create, get, list, update, delete, bundles, quotas, and everything that must be refused."""
import base64
import hashlib
import io
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
import zipfile

from agent import Agent, zip_of

HELLO = "def handler(event, context):\n    return 'v1'\n"


class Functions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--max-code-bytes", "2M", "--tenant-disk-quota", "3M", "--max-functions", "60",
                      "--allow-user", "65533", "--tenant-of", "65533=other")

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def refused(self, reply, status, code, text):
        self.assertEqual((reply.status, reply.code), (status, code), reply.body)
        self.assertIn(text, reply.json()["Message"])
        body = reply.json()
        self.assertEqual(body["ErrorCode"], body["Code"])
        self.assertEqual(body["ErrorMessage"], body["Message"])
        self.assertEqual(body["RequestId"], reply.headers["X-Fc-Request-Id"])
        self.assertTrue(reply.headers["x-amzn-ErrorType"])

    def test_life(self):
        a = self.a
        r = a.create("life", {"index.py": HELLO}, environmentVariables={"A": "b"})
        self.assertEqual(r.status, 200, r.body)
        f, etag = r.json(), r.headers["Etag"]
        self.assertEqual((f["functionName"], f["environmentVariables"]), ("life", {"A": "b"}))
        self.refused(a.create("life", {"index.py": HELLO}), 409, "FunctionAlreadyExists", "already exists")
        self.assertEqual(a.request("GET", "/2023-03-30/functions/life").json(), f)
        self.assertEqual(a.invoke("life").body, b'v1')
        r = a.create("life", {"index.py": HELLO.replace("v1", "v2")}, method="PUT")
        self.assertEqual(r.status, 200, r.body)
        self.assertNotEqual(r.headers["Etag"], etag)
        self.assertEqual(a.invoke("life").body, b'v2')
        self.refused(a.request("DELETE", "/2023-03-30/functions/life", If_Match=etag), 412, "PreconditionFailed", "Etag")
        r = a.request("PUT", "/2023-03-30/functions/life", '{"timeout": 3}')
        self.assertEqual((r.json()["timeout"], r.json()["environmentVariables"]), (3, {"A": "b"}))
        r = a.request("DELETE", "/2023-03-30/functions/life", If_Match=r.headers["Etag"])
        self.assertEqual((r.status, r.body, r.headers["Content-Type"]), (204, b"", None))
        self.refused(a.invoke("life"), 404, "FunctionNotFound", "'life'")

    def test_list_pages(self):
        for i in range(5):
            self.assertEqual(self.a.create("page-%d" % i, {"index.py": HELLO}).status, 200)
        names, token = [], ""
        while True:
            r = self.a.request("GET", "/2023-03-30/functions?limit=2&prefix=page-&nextToken=" + token).json()
            self.assertLessEqual(len(r["functions"]), 2)
            names += [f["functionName"] for f in r["functions"]]
            token = r.get("nextToken")
            if not token:
                break
        self.assertEqual(names, ["page-%d" % i for i in range(5)])

    def test_refusals(self):
        a, post = self.a, lambda body: self.a.request("POST", "/2023-03-30/functions", body)
        zipped = base64.b64encode(zip_of({"index.py": HELLO})).decode()
        ok = {"functionName": "no", "runtime": "python3", "handler": "index.handler", "code": {"zipFile": zipped}}
        self.refused(post("{"), 400, "InvalidArgument", "line 1")
        self.refused(post('"text"'), 400, "InvalidArgument", "object")
        self.refused(post(json.dumps({**ok, "memorySiez": 1})), 400, "InvalidArgument", "memorySiez")
        self.refused(post(json.dumps({**ok, "memorySize": "big"})), 400, "InvalidArgument", "memorySize")
        self.refused(post(json.dumps({**ok, "runtime": "cobol"})), 400, "InvalidArgument", "cobol")
        self.refused(post(json.dumps({**ok, "functionName": "../x"})), 400, "InvalidArgument", "functionName")
        self.refused(post(json.dumps({**ok, "code": {"zipFile": "%%%%"}})), 400, "InvalidArgument", "base64")
        self.refused(post(json.dumps({**ok, "code": {"zipFile": base64.b64encode(b"not a zip").decode()}})), 400,
                     "InvalidArgument", "unpack")
        self.refused(post(json.dumps({**ok, "code": {"blob": "sha256:" + "0" * 64}})), 404, "BlobNotFound", "0000")
        self.refused(a.create("up", {"../../etc/x": "y"}), 400, "InvalidArgument", "..")
        self.refused(a.request("GET", "/2023-03-30/functions?limit=0"), 400, "InvalidArgument", "limit")
        self.refused(a.request("GET", "/2023-03-30/functions?wrong=1"), 400, "InvalidArgument", "wrong")
        self.refused(a.request("PATCH", "/2023-03-30/functions"), 400, "PathNotSupported", "PATCH")
        self.refused(a.request("GET", "/nowhere"), 400, "PathNotSupported", "/nowhere")
        self.refused(a.request("GET", "/2023-03-30/functions/a%00b"), 400, "InvalidArgument", "percent")
        self.refused(a.request("GET", "/" + "x" * 5000), 400, "EntityTooLarge", "4096")
        self.refused(a.request("GET", "/healthz", X_Big="x" * 9000), 400, "EntityTooLarge", "max-header-bytes")
        self.assertEqual(a.request("GET", "/2023-03-30/functions/no").status, 404)

    def test_large_body_holds_up_nobody(self):
        a, answered = self.a, 0
        # refused only at its last bytes: all of it is parsed and decoded, and nothing unpacked
        body = '{"functionName": "large", "runtime": "python3", "handler": "x.y", "code": {"zipFile": "%s%%%%"}}' % ("QUFB" * (15 << 20))
        s = socket.socket(socket.AF_UNIX)
        s.connect(a.socket)
        s.sendall(b"POST /2023-03-30/functions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body.encode())
        while not select.select([s], [], [], 0)[0]:
            self.assertEqual(a.request("GET", "/healthz").status, 200)
            answered += 1
        self.assertIn(b"400 Bad Request", s.recv(4096))
        s.close()
        self.assertGreater(answered, 10)  # the reply to this one came while they were answered

    def test_blobs(self):
        a, data = self.a, zip_of({"index.py": HELLO, "blob": "x"})
        digest = hashlib.sha256(data).hexdigest()
        self.refused(a.request("PUT", "/blobs/sha256:" + "1" * 64, data), 400, "InvalidArgument", digest)
        self.refused(a.request("PUT", "/blobs/md5:1", data), 400, "InvalidArgument", "sha256")
        self.assertEqual(a.request("PUT", "/blobs/sha256:" + digest, data).status, 200)
        r = a.request("POST", "/2023-03-30/functions", json.dumps({"functionName": "blob", "runtime": "python3",
                      "handler": "index.handler", "code": {"blob": "sha256:" + digest}}))
        self.assertEqual(r.status, 200, r.body)
        url = a.request("GET", "/2023-03-30/functions/blob/code").json()["url"]
        self.assertEqual(a.request("GET", url).body, data)
        self.assertEqual(a.request("DELETE", "/2023-03-30/functions/blob").status, 204)
        self.refused(a.request("GET", url), 404, "BlobNotFound", digest)
        self.assertFalse(os.path.exists(a.dir + "/state/serve/blobs/" + digest))
        self.refused(a.request("PUT", "/blobs/sha256:" + digest, b"x" * (3 << 20)), 400, "EntityTooLarge", "max-code-bytes")

    def test_large_code(self):
        """Over 50 MiB goes up raw, and to disk as it comes: serve's memory does not grow by it."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as z:
            z.writestr("index.py", HELLO)
            z.writestr("model", os.urandom(60 << 20))
        data, a = out.getvalue(), Agent()

        def peak():
            with open("/proc/%d/status" % a.serve_pid()) as f:
                return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))

        try:
            before, digest = peak(), "sha256:" + hashlib.sha256(data).hexdigest()
            self.assertEqual(a.request("PUT", "/blobs/" + digest, data).status, 200)
            r = a.request("POST", "/2023-03-30/functions", json.dumps({"functionName": "large", "runtime": "python3",
                          "handler": "index.handler", "code": {"blob": digest}}))
            self.assertEqual(r.status, 200, r.body)
            self.assertEqual(r.json()["codeSize"], len(data))
            self.assertEqual(a.invoke("large").outcome, "ok")
            self.assertLess(peak() - before, 16 << 10)  # KiB
        finally:
            a.close()

    def test_quota(self):
        for i in range(3):
            data = os.urandom(1200 << 10)
            r = self.a.request("PUT", "/blobs/sha256:" + hashlib.sha256(data).hexdigest(), data, X_Fcnode_Tenant="filler")
            if r.status != 200:
                break
        self.refused(r, 400, "LimitExceededError", "tenant-disk-quota")

    def test_quota_counts_what_is_being_uploaded(self):
        a, data = self.a, os.urandom(1800 << 10)
        put = lambda d: a.request("PUT", "/blobs/sha256:" + hashlib.sha256(d).hexdigest(), d, X_Fcnode_Tenant="upload")
        self.assertEqual(a.request("GET", "/healthz").status, 200)
        s = socket.socket(socket.AF_UNIX)
        s.connect(a.socket)
        s.sendall(b"PUT /blobs/sha256:%s HTTP/1.1\r\nHost: x\r\nX-Fcnode-Tenant: upload\r\nContent-Length: 1843200\r\n\r\nabc"
                  % (b"0" * 64))
        blobs = a.dir + "/state/serve/blobs"
        while not any(n.startswith(".upload-") for n in os.listdir(blobs)):
            pass
        self.refused(put(data), 400, "LimitExceededError", "tenant-disk-quota")
        head = b"PUT /blobs/sha256:%s HTTP/1.1\r\nHost: x\r\nX-Fcnode-Tenant: upload\r\nTransfer-Encoding: chunked\r\n\r\n"
        r = a.raw(head % (b"1" * 64) + b"1c2000\r\n" + data + b"\r\n0\r\n\r\n", half_close=True)
        self.assertIn(b"tenant-disk-quota", r)  # its length was not known before
        s.close()
        while any(n.startswith(".upload-") for n in os.listdir(blobs)):
            pass
        self.assertEqual([put(data).status, put(data).status], [200, 200])  # the same bytes again need no room

    def as_user(self, uid, *words):
        return subprocess.run(["curl", "-s", "-i", "--unix-socket", self.a.socket, *words], user=uid, group=uid, extra_groups=[],
                              capture_output=True, text=True).stdout

    def test_peers(self):
        self.assertIn("AccessDenied", self.as_user(12345, "http://x/healthz"))
        self.assertIn("200 OK", self.as_user(65533, "http://x/healthz"))
        self.assertEqual(self.a.create("mine", {"index.py": HELLO}).status, 200)
        self.assertIn("FunctionNotFound", self.as_user(65533, "http://x/2023-03-30/functions/mine"))
        self.assertIn("AccessDenied", self.as_user(65533, "-H", "X-Fcnode-Tenant: default", "http://x/healthz"))
        self.assertIn("AccessDenied", self.as_user(65533, "http://x/usage?tenant=default"))


class Tenants(unittest.TestCase):
    def test_tenant_max(self):
        a = Agent("--tenant-max", "1")
        try:
            a.python("one", HELLO)
            data = zip_of({"index.py": HELLO})
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            self.assertEqual(a.request("PUT", "/blobs/" + digest, data, X_Fcnode_Tenant="second").status, 200)
            f = {"functionName": "two", "runtime": "python3", "handler": "index.handler", "code": {"blob": digest}}
            r = a.request("POST", "/2023-03-30/functions", json.dumps(f), X_Fcnode_Tenant="second")
            self.assertEqual((r.status, r.code), (400, "LimitExceededError"), r.body)
            self.assertIn("tenant-max", r.json()["Message"])
            self.assertEqual(a.request("GET", "/2023-03-30/functions/two", X_Fcnode_Tenant="second").status, 404)
            self.assertEqual(a.invoke("one").body, b"v1")
        finally:
            a.close()


class Restart(unittest.TestCase):
    def test_restart_and_crash(self):
        a = Agent()
        try:
            a.python("keep", HELLO)
            a.shell("slow", "echo begun >&2; sleep 30; echo end")
            first = a.invoke("keep")
            self.assertEqual(a.stop(), 0)
            a.start()
            self.assertEqual(a.invoke("keep").body, b'v1')
            self.assertEqual(a.log_of(first).status, 200)
            self.assertEqual(len(a.usage()), 2)
            call = subprocess.Popen(["curl", "-s", "--unix-socket", a.socket, "-X", "POST",
                                     "http://x/2023-03-30/functions/slow/invocations"], stdout=subprocess.DEVNULL)
            while a.metric("fcnode_invocations_running") < 1:
                pass
            a.crash()
            call.wait()
            a.start()
            while a.metric("fcnode_usage_unsettled"):
                pass
            outcomes = sorted(r["outcome"] for r in a.usage())
            self.assertEqual(outcomes, ["node_crash", "ok", "ok"])
            self.assertEqual(a.invoke("keep").body, b'v1')
            os.kill(a.serve_pid(), signal.SIGKILL)  # keeper starts another one
            while True:
                try:
                    if a.invoke("keep").body == b'v1':
                        break
                except (ConnectionError, OSError):
                    pass
        finally:
            a.close()

    def sql(self, agent, database, text):
        subprocess.run(["python3", "-c", "import sqlite3,sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); "
                        "c.commit()", agent.dir + "/state/serve/" + database, text], check=True)

    def test_layers_are_compared_with_many_tenants(self):
        a = Agent()
        try:
            zipped = base64.b64encode(zip_of({"index.py": HELLO})).decode()
            f = json.dumps({"functionName": "f", "runtime": "python3", "handler": "index.handler", "code": {"zipFile": zipped}})
            tenants = ["t%d" % i for i in range(260)]  # more than requests to keeper may be in flight
            for t in tenants:
                self.assertEqual(a.request("POST", "/2023-03-30/functions", f, X_Fcnode_Tenant=t).status, 200)
            self.assertEqual(a.metric("fcnode_layers_unpacked_total"), 1)
            a.stop()
            digest = hashlib.sha256(base64.b64decode(zipped)).hexdigest()
            found = subprocess.run(["find", a.dir + "/state", "-type", "d", "-name", "*" + digest + "*", "-prune"],
                                   capture_output=True, text=True, check=True).stdout.split()
            self.assertEqual(len(found), 1)
            shutil.rmtree(found[0])
            a.start()
            while a.metric("fcnode_layers_unpacked_total") < 1:
                pass
            self.assertEqual(a.invoke("f", X_Fcnode_Tenant=tenants[-1]).body, b"v1")
        finally:
            a.close()

    def test_function_without_its_bundle(self):
        a = Agent()
        try:
            a.python("lost", HELLO)
            a.python("kept", HELLO + "# other bytes\n")
            digest = a.request("GET", "/2023-03-30/functions/lost/code").json()["digest"].split(":")[1]
            a.stop()
            self.sql(a, "state.db", "DELETE FROM blobs WHERE digest = '%s'" % digest)
            a.start()
            self.assertEqual(a.invoke("kept").body, b"v1")
            self.assertEqual(a.invoke("lost").status, 404)
            self.assertRegex(a.text(), "function=lost is not served.*" + digest)
            a.python("lost", HELLO)
            self.assertEqual(a.invoke("lost").body, b"v1")
        finally:
            a.close()

    def test_damaged_logs_are_set_aside(self):
        a = Agent()
        try:
            a.python("logs", HELLO)
            for first, length in ((0, 100), (4096, 1 << 20)):  # no database any more; a table that cannot be read
                a.invoke("logs")
                a.stop()
                db = a.dir + "/state/serve/logs.db"
                with open(db, "r+b") as f:
                    f.seek(first)
                    f.write(b"\xa5" * min(length, os.path.getsize(db) - first))
                a.start()
                self.assertEqual(a.log_of(a.invoke("logs")).status, 200)
                self.assertTrue(os.path.exists(db + ".damaged"))
                os.unlink(db + ".damaged")
            self.assertEqual(a.text().count("event=database_damaged"), 2)
            self.assertEqual(len(a.usage()), 4)
        finally:
            a.close()

    def test_schema_of_another_version_is_refused(self):
        a = Agent()
        a.stop()
        subprocess.run(["python3", "-c", "import sqlite3,sys; c = sqlite3.connect(sys.argv[1]); "
                        "c.execute('PRAGMA user_version = 99'); c.commit()", a.dir + "/state/serve/state.db"], check=True)
        with self.assertRaisesRegex(RuntimeError, "schema version 99"):
            a.start()
        a.close()


class Fcctl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent()

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def test_deploy_and_call(self):
        a = self.a
        with tempfile.TemporaryDirectory() as d:
            with open(d + "/index.py", "w") as f:
                f.write("def handler(event, context):\n    print('noted')\n    return event\n")
            with open(d + "/fcnode.json", "w") as f:
                json.dump({"functionName": "dir", "runtime": "python3", "handler": "index.handler", "memorySize": 128}, f)
            r = a.fcctl("deploy", d)
            self.assertEqual((r.stdout, r.stderr), (b"created dir\n", b""))
            self.assertEqual(a.fcctl("deploy", d, "--env", "X=y").stdout, b"updated dir\n")
            r = a.fcctl("create", d)
            self.assertEqual(r.returncode, 2)
            self.assertIn(b"FunctionAlreadyExists", r.stderr)
            with open(d + "/tool", "w") as f:
                f.write("#!/bin/sh\nexec cat\n")
            os.chmod(d + "/tool", 0o755)
            self.assertEqual(a.fcctl("create", "--name", "one", d + "/tool").returncode, 0)
            r = a.fcctl("invoke", "one", "--event", "-", "--output", d + "/out", stdin=b"\0\1\2")
            with open(d + "/out", "rb") as f:
                self.assertEqual((r.returncode, f.read()), (0, b"\0\1\2"))
        r = a.fcctl("invoke", "dir", "--event", '{"a":1}', "--log", "--timeline")
        self.assertEqual((r.returncode, json.loads(r.stdout)), (0, {"a": 1}))
        self.assertIn(b"noted", r.stderr)
        self.assertIn(b"timeline, us: queue", r.stderr)
        self.assertIn(b"dir", a.fcctl("list").stdout)
        self.assertEqual(json.loads(a.fcctl("--format", "json", "get", "dir").stdout)["environmentVariables"], {"X": "y"})
        self.assertIn(b"records, billed", a.fcctl("usage").stdout)
        self.assertIn(b"# TYPE fcnode_invocations_total counter", a.fcctl("metrics").stdout)
        self.assertIn("max-queue", json.loads(a.fcctl("info").stdout)["limits"])
        self.assertEqual(a.fcctl("delete", "dir").returncode, 0)

    def test_exit_statuses(self):
        a = self.a
        a.python("raises", "def handler(event, context):\n    raise ValueError('no')\n")
        a.shell("sleeps", "sleep 20", timeout=1)
        a.python("eats", "def handler(event, context):\n    return len(bytearray(1 << 30))\n", memorySize=64)
        for words, status in (("invoke raises", 1), ("invoke sleeps", 3), ("invoke eats", 4), ("invoke nobody", 2), ("frob", 2),
                              ("invoke", 2), ("logs 1", 2)):
            self.assertEqual(a.fcctl(*words.split()).returncode, status, words)
        r = subprocess.run([os.environ.get("FC_BUILD", ".") + "/fcctl", "--socket", "/nonexistent", "list"], capture_output=True)
        self.assertEqual(r.returncode, 5)
        self.assertIn(b"start fc-agent", r.stderr)


if __name__ == "__main__":
    unittest.main()
