"""Versions and aliases: immutable, durable, weighed, moved under load; and how many calls may be at once."""
import concurrent.futures
import http.client
import json
import os
import subprocess
import threading
import unittest

from agent import SCALE, Agent

F = "/2023-03-30/functions/"
SAY = "echo %s $FC_FUNCTION_VERSION $FC_QUALIFIER"
# chi-square at p = 0.001, by degrees of freedom
CHI = {1: 10.83, 2: 13.82}


def chi_square(seen, weights, calls):
    return sum((seen.get(v, 0) - calls * w) ** 2 / (calls * w) for v, w in weights.items())


class Base(unittest.TestCase):
    options = []

    @classmethod
    def setUpClass(cls):
        cls.a = Agent(*cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def refused(self, reply, status, code, *texts):
        self.assertEqual((reply.status, reply.code), (status, code), reply.body)
        for text in texts:
            self.assertIn(text, reply.json()["Message"])

    def api(self, method, path, body=None, status=200, **headers):
        r = self.a.request(method, F + path, None if body is None else json.dumps(body), **headers)
        self.assertEqual(r.status, status, r.body)
        return r.json() if r.body else None

    def shell(self, name, text, **fields):
        r = self.a.create(name, {"bootstrap": "#!/bin/sh\n" + text}, "stdio", "bootstrap", **fields)
        self.assertEqual(r.status, 200, r.body)

    def publish(self, name, note=""):
        return self.api("POST", name + "/versions", {"description": note})["versionId"]

    def call(self, name, qualifier):
        return self.a.request("POST", F + "%s/invocations?qualifier=%s" % (name, qualifier), b"")


    def until_ended(self, count):
        """Until that many sandboxes have ended in all, as the node's events tell."""
        cursor = ""
        while count > 0:
            page = self.a.request("GET", "/node/events?cursor=%s&wait=20000" % cursor).json()
            self.assertTrue(page["events"], "%d sandboxes did not end within 20 s" % count)
            count -= sum(e["event"] == "instance.ended" for e in page["events"])
            cursor = page["cursor"]


class Versions(Base):
    options = ["--max-versions", "4", "--max-aliases", "3"]

    def test_life(self):
        a = self.a
        self.shell("life", SAY % "one of life", timeout=30)
        one = self.api("POST", "life/versions", {"description": "the first"})
        self.assertEqual((one["versionId"], one["description"]), ("1", "the first"))
        self.assertRegex(one["createdTime"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.shell("life", SAY % "two of life", method="PUT", environmentVariables={"A": "b"}, timeout=7)
        self.assertEqual(a.request("POST", F + "life/versions").json()["versionId"], "2")  # no body at all
        for qualifier, body, version in ("1", b"one of life 1 1\n", "1"), ("2", b"two of life 2 2\n", "2"), ("LATEST", b"two of life LATEST LATEST\n", "LATEST"), \
                ("latest", b"two of life LATEST LATEST\n", "LATEST"), ("", b"two of life LATEST LATEST\n", "LATEST"):
            r = self.call("life", qualifier)
            self.assertEqual((r.status, r.body, r.headers["X-Fc-Version-Id"]), (200, body, version))
        v1, v2 = (self.api("GET", "life?qualifier=" + q) for q in "12")
        self.assertEqual((v1["timeout"], v1["environmentVariables"]), (30, {}))
        self.assertEqual((v2["timeout"], v2["environmentVariables"]), (7, {"A": "b"}))
        code1, code2 = (self.api("GET", "life/code?qualifier=" + q)["digest"] for q in "12")
        self.assertNotEqual(code1, code2)
        self.assertEqual(a.request("GET", "/blobs/" + code1).status, 200)
        self.assertEqual([v["versionId"] for v in self.api("GET", "life/versions")["versions"]], ["2", "1"])
        self.refused(self.call("life", "3"), 404, "VersionNotFound", "version 3")
        self.refused(self.call("life", "prod"), 404, "AliasNotFound", "'prod'")
        self.refused(a.request("GET", F + "life?qualifier=9"), 404, "VersionNotFound")
        self.until_ended(5)  # a call's sandbox keeps its version's code a moment longer than the reply
        self.api("DELETE", "life/versions/1", status=204)
        self.refused(self.call("life", "1"), 404, "VersionNotFound")
        self.refused(a.request("GET", "/blobs/" + code1), 404, "BlobNotFound")  # nothing names it any more
        self.refused(a.request("DELETE", F + "life/versions/1"), 404, "VersionNotFound")
        self.assertEqual(self.publish("life"), "3")  # a number never comes twice
        self.api("DELETE", "life", status=204)
        self.refused(self.call("life", "2"), 404, "FunctionNotFound")
        self.refused(a.request("GET", "/blobs/" + code2), 404, "BlobNotFound")
        self.shell("life", SAY % "anew")
        self.assertEqual(self.api("GET", "life/versions")["versions"], [])

    def test_refusals(self):
        a = self.a
        self.shell("no", SAY % "x")
        self.refused(a.request("POST", F + "none/versions", "{}"), 404, "FunctionNotFound")
        self.refused(a.request("POST", F + "no/versions", '{"descripton": "x"}'), 400, "InvalidArgument", "descripton")
        self.refused(a.request("POST", F + "no/versions", json.dumps({"description": "x" * 257})), 400, "InvalidArgument", "256")
        self.refused(a.request("POST", F + "no/versions", '{"description": "%s"}' % ("x" * 70000)), 400, "EntityTooLarge")
        self.refused(a.request("POST", F + "no/versions", "{}", If_Match='"other"'), 412, "PreconditionFailed", "Etag")
        etag = a.request("GET", F + "no").headers["Etag"]
        self.assertEqual(a.request("POST", F + "no/versions", "{}", If_Match=etag).json()["versionId"], "1")
        for bad in "0", "x", "1x", "-1", "99999999999999999999":
            self.refused(a.request("DELETE", F + "no/versions/" + bad), 400, "InvalidArgument", "versionId")
        self.refused(a.request("GET", F + "no/versions?direction=UP"), 400, "InvalidArgument", "BACKWARD")
        self.refused(a.request("GET", F + "no/versions?limit=101"), 400, "InvalidArgument", "100")
        self.refused(a.request("GET", F + "no/versions?nextToken=x"), 400, "InvalidArgument", "nextToken")
        put = lambda body: a.request("POST", F + "no/aliases", json.dumps(body))
        for body, text in (
                ({"versionId": "1"}, "aliasName"), ({"aliasName": "LATEST", "versionId": "1"}, "LATEST"),
                ({"aliasName": "latest", "versionId": "1"}, "LATEST"), ({"aliasName": "1a", "versionId": "1"}, "aliasName"),
                ({"aliasName": "p"}, "versionId"), ({"aliasName": "p", "versionId": "LATEST"}, "LATEST"), ({"aliasName": "p", "versionId": "0"}, "versionId"),
                ({"aliasName": "p", "versionId": "1", "weight": 1}, "weight"),
                ({"aliasName": "p", "versionId": "1", "additionalVersionWeight": {"1": 0.5}}, "twice"),
                ({"aliasName": "p", "versionId": "1", "additionalVersionWeight": {"2": 1.5}}, "0 to 1"),
                ({"aliasName": "p", "versionId": "1", "additionalVersionWeight": {"2": -0.1}}, "0 to 1"),
                ({"aliasName": "p", "versionId": "1", "additionalVersionWeight": {"2": "0.1"}}, "number"),
                ({"aliasName": "p", "versionId": "1", "additionalVersionWeight": {"2": 0.6, "3": 0.6}}, "more than 1"),
                ({"aliasName": "p", "versionId": "1", "additionalVersionWeight": {"x": 0.6}}, "number")):
            self.refused(put(body), 400, "InvalidArgument", text)
        self.refused(put({"aliasName": "p", "versionId": "7"}), 404, "VersionNotFound", "version 7")
        self.refused(put({"aliasName": "p", "versionId": "1", "additionalVersionWeight": {"7": 0.1}}), 404, "VersionNotFound", "version 7")
        self.assertEqual(self.api("GET", "no/aliases"), {"aliases": []})
        for name in "a", "b", "c":
            self.assertEqual(put({"aliasName": name, "versionId": "1"}).status, 200)
        self.refused(put({"aliasName": "a", "versionId": "1"}), 409, "AliasAlreadyExists", "PUT")
        self.refused(put({"aliasName": "d", "versionId": "1"}), 400, "LimitExceededError", "max-aliases")
        self.refused(a.request("DELETE", F + "no/versions/1"), 409, "VersionInUse", "alias 'a'")
        self.refused(a.request("GET", F + "no/aliases/none"), 404, "AliasNotFound")
        self.refused(a.request("PUT", F + "no/aliases/none", "{}"), 404, "AliasNotFound")
        self.refused(a.request("DELETE", F + "no/aliases/none"), 404, "AliasNotFound")
        self.refused(a.request("PUT", F + "no/aliases/a", '{"aliasName": "z"}'), 400, "InvalidArgument", "renamed")
        for n in "234":
            self.assertEqual(self.publish("no"), n)
        self.refused(a.request("POST", F + "no/versions", "{}"), 400, "LimitExceededError", "max-versions")

    def test_pages(self):
        self.shell("page", SAY % "x")
        for _ in range(4):
            self.publish("page")
        for direction, want in ("", "4321"), ("FORWARD", "1234"), ("BACKWARD", "4321"):
            seen, token = "", ""
            while True:
                r = self.api("GET", "page/versions?limit=3&direction=%s&nextToken=%s" % (direction, token))
                seen += "".join(v["versionId"] for v in r["versions"])
                token = r.get("nextToken")
                if not token:
                    break
            self.assertEqual(seen, want)
        for name in "b1", "a", "b2":
            self.api("POST", "page/aliases", {"aliasName": name, "versionId": "2"})
        names = lambda q: [x["aliasName"] for x in self.api("GET", "page/aliases" + q)["aliases"]]
        self.assertEqual(names(""), ["a", "b1", "b2"])
        self.assertEqual(names("?prefix=b"), ["b1", "b2"])
        r = self.api("GET", "page/aliases?limit=2")
        self.assertEqual(names("?nextToken=" + r["nextToken"]), ["b2"])

    def test_alias_life(self):
        a = self.a
        self.shell("al", SAY % "one")
        self.publish("al")
        self.shell("al", SAY % "two", method="PUT")
        self.publish("al")
        r = a.request("POST", F + "al/aliases", json.dumps({"aliasName": "prod", "versionId": "1", "description": "d",
                      "additionalVersionWeight": {"2": 0.1}}))
        alias, etag = r.json(), r.headers["Etag"]
        self.assertEqual((alias["aliasName"], alias["versionId"], alias["description"], alias["additionalVersionWeight"]),
                         ("prod", "1", "d", {"2": 0.1}))
        self.assertIn(b'"additionalVersionWeight":{"2":0.1}', r.body)
        self.assertEqual(self.api("GET", "al/aliases/prod"), alias)
        self.refused(a.request("DELETE", F + "al/versions/2"), 409, "VersionInUse", "'prod'")  # the weights count too
        self.assertEqual(self.api("GET", "al?qualifier=prod"), self.api("GET", "al?qualifier=1"))
        # any subset; a version named alone takes all calls
        alias = self.api("PUT", "al/aliases/prod", {"description": "e"})
        self.assertEqual((alias["versionId"], alias["description"], alias["additionalVersionWeight"]), ("1", "e", {"2": 0.1}))
        self.refused(a.request("PUT", F + "al/aliases/prod", "{}", If_Match=etag), 412, "PreconditionFailed", "alias 'prod'")
        alias = self.api("PUT", "al/aliases/prod", {"versionId": "2"})
        self.assertEqual((alias["versionId"], alias["additionalVersionWeight"]), ("2", {}))
        self.assertEqual(self.call("al", "prod").body, b"two 2 prod\n")
        self.assertEqual(self.api("PUT", "al/aliases/prod", {"versionId": "1"})["description"], "e")
        self.assertEqual(self.call("al", "prod").body, b"one 1 prod\n")
        self.api("PUT", "al/aliases/prod", {"additionalVersionWeight": {"2": 1}})
        self.assertEqual(self.call("al", "prod").body, b"two 2 prod\n")
        etag = a.request("GET", F + "al/aliases/prod").headers["Etag"]
        self.refused(a.request("DELETE", F + "al/aliases/prod", If_Match='"x"'), 412, "PreconditionFailed")
        self.api("DELETE", "al/aliases/prod", status=204, If_Match=etag)
        self.refused(self.call("al", "prod"), 404, "AliasNotFound")
        self.api("DELETE", "al/versions/2", status=204)
        events = self.a.request("GET", "/node/events?limit=1000").json()["events"]
        mine = [(e["event"], e["detail"]) for e in events if e.get("functionName") == "al" and e["event"].split(".")[0] in ("version", "alias")]
        self.assertEqual(mine[:3] + mine[-2:], [("version.published", "1"), ("version.published", "2"), ("alias.set", "prod"),
                                                ("alias.deleted", "prod"), ("version.deleted", "2")])


class Durable(Base):
    def state(self):
        return [self.api("GET", "keep/versions"), self.api("GET", "keep/aliases"), self.api("GET", "keep?qualifier=1"),
                self.api("GET", "keep/concurrency"), self.a.request("GET", F + "keep/aliases/prod").headers["Etag"]]

    def test_restart_and_crash(self):
        a = self.a
        self.shell("keep", SAY % "one")
        self.publish("keep", "first")
        self.shell("keep", SAY % "two", method="PUT")
        self.publish("keep")
        self.publish("keep")
        self.api("DELETE", "keep/versions/3", status=204)
        self.api("POST", "keep/aliases", {"aliasName": "prod", "versionId": "1", "additionalVersionWeight": {"2": 0.123456}})
        self.api("PUT", "keep/aliases/prod", {"description": "x"})
        self.api("POST", "keep/aliases", {"aliasName": "gone", "versionId": "1"})
        self.api("DELETE", "keep/aliases/gone", status=204)
        self.api("PUT", "keep/concurrency", {"reservedConcurrency": 7})
        before = self.state()
        for end in a.stop, a.crash:
            end()
            a.start()
            self.assertEqual(self.state(), before)
            self.assertEqual(self.call("keep", "1").body, b"one 1 1\n")
        self.assertEqual(self.publish("keep"), "4")
        self.shell("keep", SAY % "three", method="PUT")  # an update keeps what hangs on the function
        a.crash()
        a.start()
        self.assertEqual(self.api("GET", "keep/concurrency")["reservedConcurrency"], 7)
        self.assertEqual(self.publish("keep"), "5")

    def test_from_the_schema_before(self):
        a = Agent()
        try:
            r = a.create("old", {"bootstrap": "#!/bin/sh\n" + SAY % "old"}, "stdio", "bootstrap")
            self.assertEqual(r.status, 200)
            a.stop()
            subprocess.run(["python3", "-c", "import sqlite3,sys; c = sqlite3.connect(sys.argv[1]); c.executescript('"
                            "ALTER TABLE usage DROP COLUMN parent_id; ALTER TABLE usage DROP COLUMN root_id; ALTER TABLE usage DROP COLUMN depth;"
                            "DROP TABLE idempotency; DROP TABLE secrets; DROP TABLE versions; DROP TABLE aliases; DROP TABLE layers; DROP TABLE layer_names; ALTER TABLE blobs DROP COLUMN opt_bytes;"
                            "ALTER TABLE blobs DROP COLUMN opt_files; ALTER TABLE blobs DROP COLUMN opt_unpacked;"
                            "ALTER TABLE functions DROP COLUMN last_version; ALTER TABLE functions DROP COLUMN reserved_concurrency; PRAGMA user_version = 1')",
                            a.dir + "/state/serve/state.db"], check=True)
            a.start()
            self.assertEqual(a.request("POST", F + "old/versions", "{}").json()["versionId"], "1")
            self.assertEqual(a.request("POST", F + "old/invocations?qualifier=1", b"").body, b"old 1 1\n")
        finally:
            a.close()

    def test_what_was_answered_is_there_after_a_kill(self):
        """Publish and move an alias without pause; the agent is killed in between, and knows all it answered."""
        a = self.a
        self.shell("kill", SAY % "x")
        self.publish("kill")
        self.api("POST", "kill/aliases", {"aliasName": "p", "versionId": "1"})
        answered, ended = ["1"], threading.Event()

        def work():
            try:
                while True:
                    version = a.request("POST", F + "kill/versions", "{}").json()["versionId"]
                    a.request("PUT", F + "kill/aliases/p", json.dumps({"versionId": version}))
                    answered.append(version)
                    if len(answered) == 10:
                        ended.set()
            except (OSError, http.client.HTTPException, ValueError, KeyError):  # the agent is gone, perhaps in the middle of a reply
                pass

        t = threading.Thread(target=work)
        t.start()
        self.assertTrue(ended.wait(60))
        a.crash()
        t.join()
        a.start()
        there = [v["versionId"] for v in self.api("GET", "kill/versions?direction=FORWARD&limit=100")["versions"]]
        self.assertEqual(there[:len(answered)], answered)
        self.assertIn(self.api("GET", "kill/aliases/p")["versionId"], there[len(answered) - 1:])


class Motion(Base):
    def versions(self, name, n):
        for i in range(1, n + 1):
            self.shell(name, SAY % i, method="PUT" if i > 1 else "POST")
            self.publish(name)

    def calls(self, name, n):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda _: self.call(name, "prod"), range(n)))
        self.assertEqual({r.status for r in replies}, {200})
        seen = {}
        for r in replies:
            version = r.headers["X-Fc-Version-Id"]
            self.assertEqual(r.body, b"%s %s prod\n" % (version.encode(), version.encode()))
            seen[version] = seen.get(version, 0) + 1
        return seen

    def test_weights(self):
        """2,000 calls, fewer on a slow machine. Chance may go beyond the bound of p = 0.001: then as many others must not."""
        self.versions("w", 3)
        self.api("POST", "w/aliases", {"aliasName": "prod", "versionId": "1", "additionalVersionWeight": {"2": 0.1, "3": 0.25}})
        weights, calls = {"1": 0.65, "2": 0.1, "3": 0.25}, 2000 // SCALE
        values = []
        while len(values) < 2:
            seen = self.calls("w", calls)
            self.assertLessEqual(set(seen), set(weights))
            values.append(chi_square(seen, weights, calls))
            print("weights %s: %s, chi-square %.2f" % (weights, seen, values[-1]))
            if values[-1] < CHI[len(weights) - 1]:
                break
        self.assertLess(values[-1], CHI[len(weights) - 1], values)

    def test_moves_break_no_call(self):
        """The alias goes to and fro and the version it leaves is deleted, while calls come from four sides."""
        self.versions("m", 1)
        self.api("POST", "m/aliases", {"aliasName": "prod", "versionId": "1"})
        replies, stop = [], threading.Event()

        def work():
            while not stop.is_set():
                replies.append(self.call("m", "prod"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            for i in range(2, 22):
                self.shell("m", SAY % i, method="PUT")
                self.assertEqual(self.publish("m"), str(i))
                self.api("PUT", "m/aliases/prod", {"versionId": str(i)})
                self.api("DELETE", "m/versions/%d" % (i - 1), status=204)
        finally:
            stop.set()
            for t in threads:
                t.join()
        bad = [(r.status, r.body) for r in replies if r.status != 200 or r.outcome != "ok"]
        self.assertEqual(bad, [])
        for r in replies:
            version = r.headers["X-Fc-Version-Id"].encode()
            self.assertEqual(r.body, b"%s %s prod\n" % (version, version))
        self.assertGreater(len({r.headers["X-Fc-Version-Id"] for r in replies}), 5)

    def instances(self, name, qualifier=""):
        return self.api("GET", "%s/instances?qualifier=%s" % (name, qualifier))["instances"]

    def test_a_running_call_outlives_its_version(self):
        self.shell("run", "sleep 2; echo one")
        self.publish("run")
        self.shell("run", "echo two", method="PUT")
        self.publish("run")
        self.api("POST", "run/aliases", {"aliasName": "prod", "versionId": "1"})
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.call, "run", "prod")
            while not self.instances("run", "1"):
                self.assertFalse(running.done())
            seen = self.instances("run", "prod")[0]
            self.assertEqual((seen["versionId"], seen["qualifier"]), ("1", "prod"))
            self.assertEqual(self.instances("run", "2"), [])
            self.api("PUT", "run/aliases/prod", {"versionId": "2"})
            self.api("DELETE", "run/versions/1", status=204)
            self.assertEqual(self.call("run", "prod").body, b"two\n")
            self.assertFalse(running.done())
            r = running.result()
        self.assertEqual((r.status, r.body, r.headers["X-Fc-Version-Id"]), (200, b"one\n", "1"))
        self.assertEqual(self.instances("run"), [])  # what ran for the old version has gone


class Waiting(Base):
    options = ["--max-instances", "1"]

    def test_a_waiting_call_keeps_its_version(self):
        self.shell("q", "sleep 1; echo one")
        self.publish("q")
        self.api("POST", "q/aliases", {"aliasName": "prod", "versionId": "1"})
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(self.call, "q", "prod") for _ in range(2)]
            while (c := self.a.request("GET", "/node/capacity").json())["queue"]["length"] < 1 or c["instances"]["live"] < 1:
                self.assertFalse(all(x.done() for x in calls))
            self.shell("q", "echo two", method="PUT")
            self.publish("q")
            self.api("PUT", "q/aliases/prod", {"versionId": "2"})
            self.api("DELETE", "q/versions/1", status=204)
            for x in calls:
                self.assertEqual((x.result().status, x.result().body), (200, b"one\n"))
        self.assertEqual(self.call("q", "prod").body, b"two\n")
        self.assertEqual(os.listdir(self.a.dir + "/state/serve/blobs"), [self.api("GET", "q/code")["digest"][7:]])


class Concurrency(Base):
    options = ["--max-instances", "8"]

    def test_config(self):
        a = self.a
        self.shell("c1", "true")
        self.shell("c2", "true")
        self.refused(a.request("GET", F + "c1/concurrency"), 404, "ConcurrencyConfigNotFound", "'c1'")
        self.refused(a.request("DELETE", F + "c1/concurrency"), 404, "ConcurrencyConfigNotFound")
        self.assertEqual(self.api("PUT", "c1/concurrency", {"reservedConcurrency": 5})["reservedConcurrency"], 5)
        got = self.api("GET", "c1/concurrency")
        self.assertEqual((got["reservedConcurrency"], got["functionArn"]), (5, "acs:fc::default:functions/c1"))
        for body, text in ("{}", "reservedConcurrency"), ('{"reservedConcurrency": -1}', "reservedConcurrency"), \
                ('{"reservedConcurrency": "5"}', "reservedConcurrency"), ('{"reservedConcurrency": 1, "x": 1}', "x"):
            self.refused(a.request("PUT", F + "c1/concurrency", body), 400, "InvalidArgument", text)
        self.api("PUT", "c2/concurrency", {"reservedConcurrency": 0})
        listed = lambda q: a.request("GET", "/2023-03-30/concurrency-configs" + q).json()
        arns = lambda q: [c["functionArn"].split("/")[-1] for c in listed(q)["configs"]]
        self.assertEqual(arns(""), ["c1", "c2"])
        self.assertEqual(arns("?functionName=c2"), ["c2"])
        self.assertEqual(arns("?functionName=c"), [])
        r = listed("?limit=1")
        self.assertEqual([c["reservedConcurrency"] for c in r["configs"]], [5])
        self.assertEqual(arns("?limit=1&nextToken=" + r["nextToken"]), ["c2"])
        self.refused(self.call("c2", ""), 429, "ResourceExhausted", "0 calls of function 'c2'", "reservedConcurrency")
        self.api("DELETE", "c2/concurrency", status=204)
        self.assertEqual(self.call("c2", "").status, 200)
        self.assertEqual(arns(""), ["c1"])
        self.api("DELETE", "c1", status=204)
        self.assertEqual(arns(""), [])

    def test_enforced_over_all_versions(self):
        self.shell("lim", "sleep 1; echo done")
        self.publish("lim")
        self.api("PUT", "lim/concurrency", {"reservedConcurrency": 2})
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            calls = [pool.submit(self.call, "lim", q) for q in ("1", "LATEST", "1", "LATEST", "1", "LATEST")]
            replies = [c.result() for c in calls]
        self.assertEqual(sorted(r.status for r in replies), [200, 200, 429, 429, 429, 429])
        for r in replies:
            if r.status == 429:
                self.refused(r, 429, "ResourceExhausted", "2 calls of function 'lim'", "reservedConcurrency")
        self.assertEqual(self.call("lim", "1").status, 200)  # those that were refused took no place
