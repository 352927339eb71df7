"""Who may call: signatures over TCP, principals of both kinds, permissions, and what each refusal says."""
import base64
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from acs3 import Client, date_text
from agent import BUILD, Agent, zip_of

SECRETS = {"AKci": "ci-secret-0123456789", "AKci2": "ci-other-secret-0123", "AKops": "ops-secret-0123456789", "AKb": "b-secret-0123456789ab",
           "AKread": "read-secret-0123456789", "AKaudit": "audit-secret-012345678"}
WHO = """
# for tests
principal ci
    tenant a
    key AKci {AKci}
    key AKci2 {AKci2}

principal ops
    role operator
    key AKops {AKops}

principal other
    tenant b
    key AKb {AKb}

principal reader
    tenant a
    allow fc:GetFunction fc:ListFunctions
    allow fc:InvokeFunction fc:CreateFunction on pub-*
    key AKread {AKread}

principal deploy
    tenant a
    allow fc:GetFunction node:ListGrants

principal auditor
    tenant b
    allow node:ListPrincipals
    key AKaudit {AKaudit}
""".format(**SECRETS)
ECHO = "def handler(event, context):\n    return b'got ' + event\n"
FUNCTIONS = "/2023-03-30/functions"


class Base(unittest.TestCase):
    options = []

    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--listen", "127.0.0.1:0", "--allow-user", "65533", "--allow-user", "65532", "--principal-of", "65533=deploy",
                      "--max-clock-skew", "10m", *cls.options, principals=WHO)
        cls.port = cls.a.port()
        cls.began = time.monotonic()

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def client(self, key="AKci", secret=None):
        return Client(self.port, key, secret or SECRETS[key])

    def refused(self, reply, status, code, *texts):
        self.assertEqual((reply.status, reply.code), (status, code), reply.body)
        body = reply.json()
        for text in texts:
            self.assertIn(text, body["Message"])
        self.assertEqual((body["ErrorCode"], body["ErrorMessage"]), (body["Code"], body["Message"]))
        self.assertEqual(body["RequestId"], reply.headers["X-Fc-Request-Id"])
        self.assertTrue(reply.headers["x-amzn-ErrorType"])
        for secret in SECRETS.values():
            self.assertNotIn(secret.encode(), reply.body)

    def curl(self, uid, *words):
        """As another user over the Unix socket."""
        return json.loads(subprocess.run(
            ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "curl", "-s", "--unix-socket", self.a.socket, *words],
            capture_output=True, check=True).stdout)


class Signatures(Base):
    def test_life_over_tcp(self):
        c = self.client()
        r = c.request("POST", FUNCTIONS, json.dumps({
            "functionName": "life", "runtime": "python3", "handler": "index.handler",
            "code": {"zipFile": base64.b64encode(zip_of({"index.py": ECHO})).decode()}}).encode())
        self.assertEqual(r.status, 200, r.body)
        for chunked in True, False:
            r = c.request("POST", FUNCTIONS + "/life/invocations", b"an event", {"qualifier": "LATEST"}, chunked=chunked)
            self.assertEqual((r.status, r.body), (200, b"got an event"))
        r = c.request("POST", FUNCTIONS + "/life/invocations")  # no body at all
        self.assertEqual((r.status, r.body), (200, b"got "))
        r = c.request("GET", FUNCTIONS, query={"prefix": "li", "limit": "3", "nextToken": ""})
        self.assertEqual([f["functionName"] for f in r.json()["functions"]], ["life"])
        data = zip_of({"index.py": ECHO, "x": "y"})
        digest = hashlib.sha256(data).hexdigest()
        self.assertEqual(c.request("PUT", "/blobs/sha256:" + digest, data).status, 200)
        self.assertEqual(c.request("GET", "/blobs/sha256:" + digest).body, data)
        self.assertEqual(self.client("AKci2").request("DELETE", FUNCTIONS + "/life").status, 204)
        self.refused(c.request("GET", FUNCTIONS + "/life"), 404, "FunctionNotFound")
        self.assertEqual(c.request("GET", "/healthz").status, 200)

    def test_unsigned(self):
        c = self.client()
        r = c.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"MissingRequiredHeader", r)
        self.assertIn(b"Authorization", r)
        self.assertIn(b"Connection: close", r)
        for name in "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256":
            self.refused(c.request("GET", "/healthz", sent_headers={name: None}), 400, "MissingRequiredHeader", name)
        # who is not known learns nothing of what is there
        r = c.raw(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"MissingRequiredHeader", r)
        self.refused(c.request("GET", "/healthz", sent_headers={"Authorization": "Bearer x"}), 400, "InvalidArgument", "scheme")
        self.refused(c.request("POST", FUNCTIONS + "/x/invocations", b"x", sent_headers={"x-acs-content-sha256": "UNSIGNED-PAYLOAD"}),
                     400, "InvalidArgument", "UNSIGNED-PAYLOAD")

    def test_wrong_keys(self):
        before = self.a.metric("fcnode_auth_failures_total")
        self.refused(self.client(secret="not-the-secret-at-all").request("GET", "/healthz"), 403, "SignatureNotMatch", "key 'AKci'",
                     "x-acs-date")
        self.refused(self.client("AKnone", "not-the-secret-at-all").request("GET", "/healthz"), 403, "InvalidAccessKeyID", "'AKnone'")
        self.refused(self.client("AKci", SECRETS["AKci2"]).request("GET", "/healthz"), 403, "SignatureNotMatch")
        self.assertEqual(self.a.metric("fcnode_auth_failures_total"), before + 3)

    def test_clocks(self):
        for skew in -700, 700:
            r = self.client().request("GET", "/healthz", skew=skew)
            self.refused(r, 400, "InvalidTimeStamp.Expired", "max-clock-skew", "at most 600")
            dates = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r.json()["Message"])
            self.assertEqual(len(dates), 2)  # theirs and ours
            self.assertLess(abs(time.time() - time.mktime(time.strptime(dates[1], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone), 60)
        for skew in -500, 500:
            self.assertEqual(self.client().request("GET", "/healthz", skew=skew).status, 200)
        self.refused(self.client().request("GET", "/healthz", sent_headers={"x-acs-date": "now"}), 400, "InvalidArgument", "x-acs-date")

    def test_replays(self):
        c = self.client()
        head = c.head("GET", "/healthz", {}, b"")
        self.assertEqual(c.send("GET", "/healthz", {}, head, b"").status, 200)
        self.refused(c.send("GET", "/healthz", {}, head, b""), 400, "SignatureNonceUsed", "came already")
        self.assertEqual(c.request("GET", "/healthz", nonce="one").status, 200)
        self.refused(c.request("GET", "/healthz", nonce="one"), 400, "SignatureNonceUsed")
        self.assertEqual(self.client("AKb").request("GET", "/healthz", nonce="one").status, 200)  # another key's
        self.assertGreaterEqual(self.a.metric("fcnode_auth_nonces"), 3)

    def test_altered(self):
        c, path = self.client(), FUNCTIONS + "/f/invocations"
        self.refused(c.request("POST", path, b"x", sent_path=FUNCTIONS + "/g/invocations"), 403, "SignatureNotMatch")
        self.refused(c.request("GET", FUNCTIONS, sent_method="DELETE"), 403, "SignatureNotMatch")
        self.refused(c.request("GET", FUNCTIONS, query={"prefix": "a"}, sent_query={"prefix": "b"}), 403, "SignatureNotMatch")
        self.refused(c.request("GET", FUNCTIONS, query={"prefix": "a"}, sent_query={}), 403, "SignatureNotMatch")
        for name, value in ("Host", "other:1"), ("x-acs-action", "Other"), ("x-acs-signature-nonce", "2"), ("x-acs-date", date_text(5)):
            self.refused(c.request("GET", "/healthz", sent_headers={name: value}), 403, "SignatureNotMatch")
        self.refused(c.request("GET", "/healthz", sent_headers={"x-acs-added": "1"}), 403, "SignatureNotMatch", "lack x-acs-added")
        self.refused(self.client("AKops").request("GET", "/healthz", sent_headers={"X-Fcnode-Tenant": "b"}), 403, "SignatureNotMatch",
                     "lack X-Fcnode-Tenant")

    def test_altered_body_takes_no_effect(self):
        c = self.client()
        self.a.create("body", {"index.py": ECHO})
        r = self.a.request("POST", FUNCTIONS, json.dumps({
            "functionName": "body", "runtime": "stdio", "handler": "bootstrap",
            "code": {"zipFile": base64.b64encode(zip_of({"bootstrap": "#!/bin/sh\ncat"})).decode()}}), X_Fcnode_Tenant="a")
        self.assertEqual(r.status, 200, r.body)
        records = len(self.a.usage(tenant="a"))
        for chunked in True, False:
            self.refused(c.request("POST", FUNCTIONS + "/body/invocations", b"right", sent_body=b"wrong", chunked=chunked), 403,
                         "SignatureNotMatch", "x-acs-content-sha256", "5 bytes")
        self.refused(c.request("POST", FUNCTIONS + "/body/invocations", b"right", sent_body=b""), 403, "SignatureNotMatch")
        self.assertEqual(len(self.a.usage(tenant="a")), records)
        self.assertEqual(c.request("POST", FUNCTIONS + "/body/invocations", b"right").body, b"right")
        r = c.request("PUT", FUNCTIONS + "/body", b'{"timeout": 7}', sent_body=b'{"timeout": 9}')
        self.refused(r, 403, "SignatureNotMatch")
        self.assertEqual(c.request("GET", FUNCTIONS + "/body").json()["timeout"], 60)
        data = zip_of({"index.py": "other"})
        digest = hashlib.sha256(data).hexdigest()
        self.refused(c.request("PUT", "/blobs/sha256:" + digest, b"else", sent_body=data), 403, "SignatureNotMatch")
        self.refused(c.request("GET", "/blobs/sha256:" + digest), 404, "BlobNotFound")

    def test_log_says_no_secret(self):
        for _ in range(40):
            self.client(secret="not-the-secret-at-all").request("GET", "/healthz")
        text = self.a.text()
        minutes = int((time.monotonic() - self.began) // 60) + 1
        self.assertLessEqual(text.count("event=auth_failed"), 11 * minutes)  # ten and a sum, however many there were
        self.assertRegex(text, "from=127.0.0.1 code=SignatureNotMatch")
        for secret in SECRETS.values():
            self.assertNotIn(secret, text)
        pid = self.a.serve_pid()
        for name in "environ", "cmdline":
            with open("/proc/%d/%s" % (self.a.process.pid, name), "rb") as f:
                self.assertNotIn(b"secret-", f.read())
        for n in os.listdir("/proc/%d/fd" % pid):  # it read them, and kept no file of them
            try:
                self.assertNotIn("principals", os.readlink("/proc/%d/fd/%s" % (pid, n)))
            except FileNotFoundError:  # closed since
                pass


class Permissions(Base):
    options = ["--allow-group", "65531", "--tenant-of", "65530=a"]

    def setUp(self):
        for tenant, name in ("a", "pub-one"), ("a", "private"), ("b", "theirs"):
            r = self.a.request("POST", FUNCTIONS, json.dumps({
                "functionName": name, "runtime": "stdio", "handler": "bootstrap",
                "code": {"zipFile": base64.b64encode(zip_of({"bootstrap": "#!/bin/sh\ncat"})).decode()}}), X_Fcnode_Tenant=tenant)
            self.assertIn(r.status, (200, 409), r.body)

    def test_tenants_are_apart(self):
        c = self.client()
        self.refused(c.request("GET", FUNCTIONS + "/theirs"), 404, "FunctionNotFound")
        self.refused(c.request("POST", FUNCTIONS + "/theirs/invocations", b"x"), 404, "FunctionNotFound")
        self.refused(c.request("GET", FUNCTIONS + "/theirs", X_Fcnode_Tenant="b"), 403, "AccessDenied", "principal 'ci'", "tenant 'a'")
        self.refused(c.request("GET", "/usage", query={"tenant": "b"}), 403, "AccessDenied")
        ops = self.client("AKops")
        self.assertEqual(ops.request("GET", FUNCTIONS + "/theirs", X_Fcnode_Tenant="b").status, 200)
        self.assertEqual(ops.request("GET", FUNCTIONS + "/private", X_Fcnode_Tenant="a").status, 200)
        self.refused(ops.request("GET", FUNCTIONS + "/private"), 404, "FunctionNotFound")  # its own is "default"
        self.refused(ops.request("GET", FUNCTIONS, X_Fcnode_Tenant="../x"), 400, "InvalidArgument", "X-Fcnode-Tenant")

    def test_what_is_missing_is_named(self):
        c = self.client("AKread")
        before = self.a.metric("fcnode_auth_denied_total")
        self.assertEqual(c.request("POST", FUNCTIONS + "/pub-one/invocations", b"x").body, b"x")
        self.refused(c.request("POST", FUNCTIONS + "/private/invocations", b"x"), 403, "AccessDenied",
                     "principal 'reader' lacks fc:InvokeFunction on functions/private of tenant 'a'")
        self.assertEqual(c.request("GET", FUNCTIONS + "/private").status, 200)
        self.refused(c.request("DELETE", FUNCTIONS + "/pub-one"), 403, "AccessDenied", "lacks fc:DeleteFunction on functions/pub-one")
        self.refused(c.request("PUT", FUNCTIONS + "/pub-one", b"{}"), 403, "AccessDenied", "lacks fc:UpdateFunction")
        self.refused(c.request("GET", FUNCTIONS + "/pub-one/code"), 403, "AccessDenied", "lacks fc:GetFunctionCode")
        self.refused(c.request("PUT", "/blobs/sha256:" + "0" * 64, b"x"), 403, "AccessDenied", "lacks node:PutBlob")
        self.refused(c.request("GET", "/blobs/sha256:" + "0" * 64), 403, "AccessDenied", "lacks node:GetBlob")
        self.refused(c.request("GET", "/metrics"), 403, "AccessDenied", "lacks node:GetMetrics")
        self.refused(c.request("GET", "/usage"), 403, "AccessDenied", "lacks node:GetUsage")
        self.refused(c.request("GET", "/logs", query={"requestId": "x"}), 403, "AccessDenied", "lacks node:GetLogs")
        self.refused(c.request("GET", "/node/info"), 403, "AccessDenied", "lacks node:GetInfo")
        self.refused(c.request("GET", "/node/principals"), 403, "AccessDenied", "lacks node:ListPrincipals")
        self.refused(c.request("GET", "/node/grants", query={"function": "private"}), 403, "AccessDenied", "lacks node:ListGrants")
        self.assertEqual(self.a.metric("fcnode_auth_denied_total"), before + 12)
        self.refused(self.client().request("GET", "/node/principals"), 403, "AccessDenied", "lacks node:ListPrincipals")

    def test_a_name_is_known_only_from_the_body(self):
        c, code = self.client("AKread"), base64.b64encode(zip_of({"index.py": ECHO})).decode()
        body = {"runtime": "python3", "handler": "index.handler", "code": {"zipFile": code}}
        self.refused(c.request("POST", FUNCTIONS, json.dumps({**body, "functionName": "secretive"}).encode()), 403, "AccessDenied",
                     "principal 'reader' lacks fc:CreateFunction on functions/secretive")
        self.refused(self.client().request("GET", FUNCTIONS + "/secretive"), 404, "FunctionNotFound")
        self.assertEqual(c.request("POST", FUNCTIONS, json.dumps({**body, "functionName": "pub-new"}).encode()).status, 200)
        self.assertEqual(self.client().request("DELETE", FUNCTIONS + "/pub-new").status, 204)

    def test_peers(self):
        r = self.curl(65533, "http://x/node/whoami")
        self.assertEqual((r["principal"], r["tenant"], r["by"]), ("deploy", "a", "peer credentials"))
        self.assertEqual(r["grants"], [{"permissions": ["fc:GetFunction", "node:ListGrants"], "functions": "*"}])
        r = self.curl(65533, "-X", "POST", "http://x" + FUNCTIONS + "/private/invocations")
        self.assertIn("principal 'deploy' lacks fc:InvokeFunction on functions/private of tenant 'a'", r["Message"])
        r = self.curl(65532, "http://x/node/whoami", "-H", "Authorization: ACS3-HMAC-SHA256 nonsense")  # ignored there
        self.assertEqual((r["principal"], r["role"], r["tenant"]), ("uid:65532", "tenant", "default"))
        self.assertIn("acts for tenant 'default'", self.curl(65532, "http://x/healthz", "-H", "X-Fcnode-Tenant: a")["Message"])
        self.assertIn("lacks node:ListPrincipals", self.curl(65532, "http://x/node/principals")["Message"])

    def test_who_may(self):
        r = self.client("AKops").request("GET", "/node/whoami", X_Fcnode_Tenant="b").json()
        self.assertEqual((r["principal"], r["role"], r["tenant"], r["by"]), ("ops", "operator", "b", "signature"))
        everybody = {p["principal"]: p for p in self.client("AKops").request("GET", "/node/principals").json()["principals"]}
        self.assertEqual(sorted(everybody), ["auditor", "ci", "deploy", "gid:65531", "ops", "other", "reader", "root",
                                             "uid:65530", "uid:65532"])
        self.assertEqual((everybody["uid:65530"]["tenant"], everybody["gid:65531"]["tenant"]), ("a", "default"))
        self.assertEqual(everybody["ci"]["accessKeyIds"], ["AKci", "AKci2"])
        self.assertEqual(everybody["deploy"]["userIds"], [65533])
        self.assertNotIn("secret", json.dumps(everybody))
        seen = self.client("AKaudit").request("GET", "/node/principals").json()["principals"]  # its tenant's, and operators
        self.assertEqual(sorted(p["principal"] for p in seen), ["auditor", "ops", "other", "root"])
        r = self.client().request("GET", "/node/grants", query={"function": "private"}).json()
        may = {g["principal"]: g["permissions"] for g in r["grants"]}
        self.assertEqual(sorted(may), ["ci", "deploy", "ops", "reader", "root", "uid:65530"])
        self.assertEqual(sorted(p for p in may if "fc:InvokeFunction" in may[p]), ["ci", "ops", "root", "uid:65530"])
        self.assertEqual(may["reader"], ["fc:GetFunction"])
        r = self.client().request("GET", "/node/grants", query={"function": "pub-one"}).json()
        self.assertIn("fc:InvokeFunction", {g["principal"]: g["permissions"] for g in r["grants"]}["reader"])
        self.refused(self.client().request("GET", "/node/grants", query={"function": "none"}), 404, "FunctionNotFound")
        self.refused(self.client().request("GET", "/node/grants"), 400, "InvalidArgument", "function")

    def test_fcctl(self):
        r = self.a.fcctl("whoami")
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        self.assertIn(b"root, operator, acting for tenant default", r.stdout)
        self.assertEqual(json.loads(self.a.fcctl("--format", "json", "whoami").stdout)["principal"], "root")
        r = self.a.fcctl("--tenant", "a", "grants", "private")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(r.stdout.decode(), r"(?m)^reader +tenant +fc:GetFunction$")
        r = self.a.fcctl("--tenant", "a", "grants", "none")
        self.assertEqual((r.returncode, b"FunctionNotFound" in r.stderr), (2, True))


class Strangers(Base):
    options = ["--auth-timeout", "1s", "--max-tcp-connections", "8"]

    def test_little_time(self):
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            self.assertEqual(s.recv(100), b"")  # cut, long before client-timeout
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            self.assertEqual(s.recv(100), b"")

    def test_a_crowd_takes_no_place_of_the_socket(self):
        crowd = [socket.create_connection(("127.0.0.1", self.port), 20) for _ in range(40)]
        try:
            self.assertLessEqual(self.a.metric("fcnode_http_tcp_connections"), 8)
            self.assertEqual(self.a.request("GET", "/healthz").status, 200)
            # those behind them get their turn as the time of those before is over
            self.assertEqual(self.client().request("GET", "/healthz").status, 200)
        finally:
            for s in crowd:
                s.close()

    def test_little_memory(self):
        head = b"PUT /blobs/sha256:%s HTTP/1.1\r\nHost: x\r\n" % (b"0" * 64)
        # a body that is said to be large is refused before it comes
        r = self.client().raw(head + b"Content-Length: 1000000\r\n\r\n")
        self.assertIn(b"MissingRequiredHeader", r)
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            s.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            sent = 0
            try:
                while sent < 64 << 20:
                    s.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                    sent += 65536
            except (ConnectionError, TimeoutError):
                pass
            self.assertLess(sent, 32 << 20)  # cut after 64 KiB; the rest was in the sockets' buffers
        self.assertEqual(self.a.metric("fcnode_http_body_bytes"), 0)

    def test_known_stays(self):
        """A connection that was known once has client-timeout, as those of the socket."""
        c = self.client()
        with socket.create_connection(("127.0.0.1", self.port), 20) as s:
            for wait in 0, 2.5:
                time.sleep(wait)  # longer than auth-timeout: that it is still open is what is looked at
                head = c.head("GET", "/healthz", {}, b"")
                s.sendall(b"GET /healthz HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % (k.encode(), v.encode()) for k, v in head.items()) + b"\r\n")
                self.assertIn(b"200 OK", s.recv(4096))


class Life(unittest.TestCase):
    def test_reload_and_restart(self):
        a = Agent("--listen", "127.0.0.1:0", "--listen", "[::1]:0", principals=WHO)
        try:
            c, v6 = Client(a.port(), "AKci", SECRETS["AKci"]), Client(a.port(1), "AKci", SECRETS["AKci"], "::1")
            head = c.head("GET", "/healthz", {}, b"")
            self.assertEqual(c.send("GET", "/healthz", {}, head, b"").status, 200)
            r = v6.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"MissingRequiredHeader", r)

            # a new key comes and an old one goes, without a restart
            a.describe(WHO.replace("key AKci2 ", "key AKnew "))
            keys = lambda: [k for p in a.request("GET", "/node/principals").json()["principals"] for k in p.get("accessKeyIds", [])]
            serve = a.serve_pid()
            os.kill(serve, signal.SIGHUP)  # as `pkill -HUP fc-agent` does
            a.process.send_signal(signal.SIGHUP)
            while "AKnew" not in keys():
                self.assertIsNone(a.process.poll())
            self.assertEqual(a.serve_pid(), serve)
            self.assertEqual(Client(a.port(), "AKnew", SECRETS["AKci2"]).request("GET", "/healthz").status, 200)
            self.assertEqual(Client(a.port(), "AKci2", SECRETS["AKci2"]).request("GET", "/healthz").code, "InvalidAccessKeyID")
            self.assertEqual(c.send("GET", "/healthz", {}, head, b"").code, "SignatureNonceUsed")  # still known

            # a file that is wrong changes nothing, and the log says what is wrong
            a.describe("principal x\nhush-hush-hush-hush\n")
            a.process.send_signal(signal.SIGHUP)
            while "stay as they were" not in a.text():
                self.assertIsNone(a.process.poll())
            self.assertIn("line 2", a.text())
            self.assertNotIn("hush", a.text())
            self.assertIn("AKnew", keys())

            # after a crash of serve what came before is not taken again, and what is signed anew is
            os.kill(a.serve_pid(), signal.SIGKILL)
            while True:
                try:
                    if c.request("GET", "/healthz").status == 200:
                        break
                except ConnectionError:
                    pass
            self.assertIn("AKnew", keys())
            self.assertEqual(c.send("GET", "/healthz", {}, head, b"").code, "InvalidTimeStamp.Expired")
            self.assertEqual(a.stop(), 0)
        finally:
            a.close()

    def start(self, *options, principals=WHO, mode=0o600, uid=0):
        with tempfile.TemporaryDirectory() as d:
            if principals is not None:
                with open(d + "/p", "w") as f:
                    f.write(principals)
                os.chmod(d + "/p", mode)
                os.chown(d + "/p", uid, 0)
                options = ("--principals", d + "/p", *options)
            r = subprocess.run([BUILD + "/fc-agent", "--state-dir", d + "/s", "--runtime-dir", d + "/r", "--user", "65534:65534", *options],
                               capture_output=True, text=True)
            return r.returncode, r.stderr

    def test_refused_at_start(self):
        for says, options, how in (
                ("--listen needs --principals", ["--listen", "127.0.0.1:0"], {"principals": None}),
                ("not an address of loopback", ["--listen", "0.0.0.0:0"], {}),
                ("not an address of loopback", ["--listen", "[::]:0"], {}),
                ("not ADDRESS:PORT", ["--listen", "localhost:80"], {}),
                ("only root may read or write it", [], {"mode": 0o640}),
                ("only root may read or write it", [], {"mode": 0o604}),
                ("only root may read or write it", [], {"uid": 65534}),
                ("has no access key", ["--listen", "127.0.0.1:0"], {"principals": "principal x\ntenant t\n"}),
                ("describes no such principal", ["--principal-of", "5=nobody"], {}),
                ("line 1: a line begins with", [], {"principals": "nonsense\n"}),
                ("more than 262144 bytes", [], {"principals": "#" * 300000})):
            status, text = self.start(*options, **how)
            self.assertEqual((status, says in text), (2, True), text)
        with socket.create_server(("127.0.0.1", 0)) as s:
            status, text = self.start("--listen", "127.0.0.1:%d" % s.getsockname()[1])
            self.assertEqual((status, "another process listens there" in text), (1, True), text)
