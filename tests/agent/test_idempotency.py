"""Idempotency keys: a call that is asked for again is not made again, whatever happened to who asked, or to the agent."""
import concurrent.futures
import http.client
import json
import unittest

from agent import Agent, Connection

F = "/2023-03-30/functions/"


class Base(unittest.TestCase):
    options = []

    def setUp(self):
        self.a = Agent(*self.options)
        self.addCleanup(self.a.close)

    def call(self, name, key, event=b"", query="", **headers):
        return self.a.request("POST", F + name + "/invocations" + query, event, x_fcnode_idempotency_key=key, **headers)

    def refused(self, reply, status, code, *texts):
        self.assertEqual((reply.status, reply.code), (status, code), reply.body)
        for text in texts:
            self.assertIn(text, reply.json()["Message"])

    def until(self, event, name, count=1):
        cursor, seen = "", 0
        while seen < count:
            page = self.a.request("GET", "/node/events?cursor=%s&wait=20000" % cursor).json()
            self.assertTrue(page["events"], "no %s of %s within 20 s" % (event, name))
            seen += sum(e["event"] == event and e.get("functionName") == name for e in page["events"])
            cursor = page["cursor"]


class Keys(Base):
    def test_asked_again(self):
        a = self.a
        a.python("once", "import os\ndef handler(event, context): return event + b' ' + context.request_id.encode()")
        first = self.call("once", "k1", b"an event")
        self.assertEqual((first.status, first.body), (200, b"an event " + first.headers["X-Fc-Request-Id"].encode()))
        self.assertNotIn("X-Fcnode-Idempotent-Of", first.headers)
        for _ in range(2):
            again = self.call("once", "k1", b"an event")
            self.assertEqual((again.status, again.body, again.headers["X-Fcnode-Idempotent-Of"], again.outcome, again.headers["X-Fc-Version-Id"]),
                             (200, first.body, first.headers["X-Fc-Request-Id"], "ok", "LATEST"))
            self.assertNotEqual(again.headers["X-Fc-Request-Id"], first.headers["X-Fc-Request-Id"])
        self.assertEqual(len(a.usage(functionName="once")), 1)  # and billed once
        self.assertNotEqual(self.call("once", "k2", b"an event").body, first.body)
        self.refused(self.call("once", "k1", b"another"), 400, "InvalidArgument", first.headers["X-Fc-Request-Id"], "another event")
        self.refused(self.call("once", "k1", b"an event", "?qualifier=LATEST"), 400, "InvalidArgument", "qualifier")
        other = a.request("POST", F + "once/invocations", b"an event", x_fcnode_idempotency_key="k1", X_Fcnode_Tenant="other")
        self.assertEqual(other.code, "FunctionNotFound")
        a.python("twice", "def handler(event, context): return b'of another function'")
        self.assertEqual(self.call("twice", "k1", b"an event").body, b"of another function")
        for end in a.stop, a.crash:
            end()
            a.start()
            self.assertEqual(self.call("once", "k1", b"an event").body, first.body)

    def test_errors_are_kept_and_refusals_are_not(self):
        a = self.a
        a.python("throws", "def handler(event, context): raise ValueError('once')")
        first, again = self.call("throws", "k"), self.call("throws", "k")
        self.assertEqual((again.body, again.headers["X-Fc-Error-Type"], again.outcome), (first.body, "UnhandledInvocationError", "function_error"))
        r = a.create("bad", {"server": "#!/bin/sh\nexit 3\n"}, "custom", "x", customRuntimeConfig={"command": ["/code/server"]})
        self.assertEqual(r.status, 200, r.body)
        first, again = self.call("bad", "k"), self.call("bad", "k")
        self.assertEqual((first.status, first.code), (412, "CAExited"))
        self.assertEqual((again.status, again.code, again.json()["Message"]), (412, "CAExited", first.json()["Message"]))
        self.assertEqual(len(a.usage(functionName="bad")), 1)
        a.shell("limited", "echo ran")
        a.request("PUT", F + "limited/concurrency", '{"reservedConcurrency": 0}')
        self.refused(self.call("limited", "k"), 429, "ResourceExhausted", "reservedConcurrency")
        a.request("DELETE", F + "limited/concurrency")
        self.assertEqual(self.call("limited", "k").body, b"ran\n")  # it never started: the key was free
        for key in "", "a b", "x" * 129, "\x7f":
            self.refused(self.call("limited", key), 400, "InvalidArgument", "x-fcnode-idempotency-key")
        self.refused(self.call("limited", "k3", x_fcnode_response_mode="stream"), 400, "InvalidArgument", "streamed")

    def test_while_it_runs_and_when_its_caller_is_gone(self):
        a = self.a
        a.shell("slow", "cat >/dev/null; sleep 2; echo done")
        c = Connection(a.socket, 60)
        c.request("POST", F + "slow/invocations", b"", {"x-fcnode-idempotency-key": "k"})
        self.until("instance.running", "slow")
        self.refused(self.call("slow", "k"), 409, "IdempotencyKeyInUse", "runs")
        c.close()  # who asked is gone; the call is not
        self.until("invocation.ended", "slow")
        r = self.call("slow", "k")
        while r.status == 409:  # its end is told before it is on disk
            r = self.call("slow", "k")
        self.assertEqual((r.body, r.outcome), (b"done\n", "ok"))
        self.assertEqual([u["outcome"] for u in a.usage(functionName="slow")], ["ok"])

    def test_many_at_once_make_one_call(self):
        a = self.a
        a.shell("one", "cat >/dev/null; echo $FC_REQUEST_ID")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: self.call("one", "same"), range(8)))
        good = {r.body for r in replies if r.status == 200}
        self.assertEqual(len(good), 1)
        self.assertLessEqual({r.code for r in replies if r.status != 200}, {"IdempotencyKeyInUse"})
        self.assertEqual(len(a.usage(functionName="one")), 1)

    def test_what_ran_when_the_agent_died_is_not_made_again(self):
        a = self.a
        a.shell("lost", "sleep 600", timeout=600)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            call = pool.submit(self.swallow, "lost")
            self.until("instance.running", "lost")
            a.crash()
            call.result()
        a.start()
        self.refused(self.call("lost", "k"), 409, "IdempotencyKeyInUse", "died", a.usage(functionName="lost")[0]["requestId"])
        self.assertEqual([u["outcome"] for u in a.usage(functionName="lost")], ["node_crash"])

    def swallow(self, name):
        try:
            self.call(name, "k")
        except (OSError, http.client.HTTPException):
            pass  # the agent died

    def test_long_replies_and_lambda(self):
        a = self.a
        a.python("long", "def handler(event, context): return b'x' * int(event)")
        self.assertEqual(len(self.call("long", "fits", b"65536").body), 65536)
        self.assertEqual(len(self.call("long", "fits", b"65536").body), 65536)
        self.assertEqual(len(self.call("long", "over", b"65537").body), 65537)
        self.refused(self.call("long", "over", b"65537"), 409, "IdempotencyKeyInUse", "65536")
        self.assertEqual(self.call("long", "none", b"0").body, b"")
        self.assertEqual(self.call("long", "none", b"0").body, b"")
        path = "/2015-03-31/functions/long/invocations"
        first = a.request("POST", path, b"3", x_fcnode_idempotency_key="lambda")
        self.assertEqual((first.body, a.request("POST", path, b"3", x_fcnode_idempotency_key="lambda").body), (b"xxx", b"xxx"))
        self.assertEqual(len([u for u in a.usage(functionName="long")]), 4)


class Limits(Base):
    options = ["--max-idempotency-keys", "3", "--idempotency-age", "1s"]

    def test_full_and_old(self):
        self.a.shell("f", "cat")
        for n in range(3):
            self.assertEqual(self.call("f", "k%d" % n, b"x").body, b"x")
        r = self.call("f", "k3", b"x")
        if r.status != 200:  # else the first ones were a second old already
            self.refused(r, 429, "ResourceExhausted", "max-idempotency-keys", "idempotency-age")
        while self.call("f", "k4", b"x").status != 200:  # until the first are old
            self.a.request("GET", "/node/events?cursor=now&wait=100")
        self.assertNotIn("X-Fcnode-Idempotent-Of", self.call("f", "k0", b"y").headers)


if __name__ == "__main__":
    unittest.main()
