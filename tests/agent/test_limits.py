"""The node at the edge of its descriptors: connections take none from sandboxes, and whoever asks for too many is told;
what fcctl says of an option in the wrong place; what the doctor of an agent finds."""
import concurrent.futures
import os
import resource
import socket
import subprocess
import time
import unittest

from agent import BUILD, Agent, Connection


def soften(pid, n):
    """Set serve's soft limit on open files, as its own user: root of a container may lack the capability to."""
    subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "prlimit", "--pid", str(pid),
                    "--nofile=%d:" % n], check=True)


def pipes(pid):
    count = 0
    for n in os.listdir("/proc/%d/fd" % pid):
        try:
            count += os.readlink("/proc/%d/fd/%s" % (pid, n)).startswith("pipe:")
        except FileNotFoundError:  # closed since
            pass
    return count


class Descriptors(unittest.TestCase):
    def test_idle_connections_take_nothing_from_sandboxes(self):
        connections, calls = 1700, 20
        files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(files[0], 4096), files[1]))  # for this end of the connections
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, files)
        a = Agent("--max-connections", str(connections), "--max-function-connections", "1", files=4096)
        idle = []
        try:
            self.assertEqual(a.request("GET", "/node/info").json()["maxInstances"], (4096 - 256 - 2 * (connections + 1)) // 8)
            a.shell("f", "cat >/dev/null; sleep 1; echo done")
            for _ in range(connections - calls - 4):
                s = socket.socket(socket.AF_UNIX)
                s.connect(a.socket)
                idle.append(s)
            serve = a.serve_pid()
            with concurrent.futures.ThreadPoolExecutor(calls) as pool:
                for r in pool.map(lambda _: a.invoke("f"), range(calls)):
                    self.assertEqual((r.status, r.body), (200, b"done\n"))
            self.assertEqual(a.serve_pid(), serve)
        finally:
            for s in idle:
                s.close()
            a.close()

    def test_too_many_connections_for_the_limit_are_refused_at_start(self):
        with self.assertRaises(RuntimeError) as e:
            Agent("--max-connections", "4096", "--max-function-connections", "1", files=4096)
        self.assertIn("beside 4097 connections: 4096 open files allow 0", str(e.exception))
        self.assertIn("lower --max-connections", str(e.exception))

    def test_serve_without_descriptors_loses_one_call_and_no_more(self):
        a = Agent()
        try:
            a.shell("slow", "cat >/dev/null; sleep 3; echo slow")
            a.shell("f", "cat; echo done")
            serve = a.serve_pid()
            others = pipes(serve)
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                slow = pool.submit(a.invoke, "slow")
                while pipes(serve) < others + 2 and not slow.done():  # stdout and stderr of the first
                    time.sleep(0.02)
                # under another's feet the limit falls so low that a call gets in and its sandbox's pipes do not
                used = len(os.listdir("/proc/%d/fd" % serve))
                soften(serve, used + 2)
                r = a.invoke("f", b"x")
                soften(serve, 1024)
                self.assertEqual((r.status, r.code), (503, "ResourceThrottled"), r.body)
                self.assertIn(b"descriptors", r.body)
                self.assertEqual(slow.result().body, b"slow\n")
            self.assertEqual(a.serve_pid(), serve)
            self.assertEqual(a.invoke("f", b"x").body, b"xdone\n")
        finally:
            a.close()


class Client(unittest.TestCase):
    def test_an_option_behind_the_verb_is_told_its_place(self):
        for words in (["--format", "json"], ["-f", "json"], ["--socket=/x"], ["--tenant", "t"], ["-fjson"]):
            r = subprocess.run([BUILD + "/fcctl", "list", *words], capture_output=True, text=True)
            self.assertEqual(r.returncode, 2)
            self.assertIn("unknown option " + words[0], r.stderr)
            self.assertIn("it stands before the verb: fcctl --", r.stderr)
        r = subprocess.run([BUILD + "/fcctl", "list", "--nonsense"], capture_output=True, text=True)
        self.assertNotIn("before the verb", r.stderr)


class Doctor(unittest.TestCase):
    def setUp(self):
        self.a = Agent()
        self.addCleanup(self.a.close)

    def test_report(self):
        r = self.a.request("GET", "/node/doctor")
        self.assertEqual((r.status, r.headers["Content-Type"]), (200, "application/json"), r.body)
        report = r.json()
        rows = {row["name"]: row for row in report["rows"]}
        self.assertEqual([row for row in report["rows"] if row["required"] and row["status"] == "missing"], [])
        self.assertTrue(report["fit"] and report["root"])
        self.assertEqual(report["stateDir"], self.a.dir + "/state")
        self.assertEqual(rows["agent.user"]["status"], "degraded")  # these tests run serve as nobody
        self.assertEqual(rows["agent.images"]["detail"], "host")
        out = self.a.fcctl("doctor")
        self.assertEqual((out.returncode, out.stderr), (0, b""))
        self.assertIn(b"\nfit: functions can run on this node\n", out.stdout)

    def test_an_image_that_went_away(self):
        self.a.stop()
        image = self.a.dir + "/image"
        os.mkdir(image)
        self.a.start("--image", "mine=" + image)
        self.assertIn("host, mine", self.a.fcctl("doctor").stdout.decode())
        os.rmdir(image)
        out = self.a.fcctl("doctor")
        self.assertEqual(out.returncode, 5)
        self.assertIn("image mine", out.stdout.decode())

    def test_a_kill_in_the_middle_leaves_nothing(self):
        def groups():
            return {d for d, _, _ in os.walk("/sys/fs/cgroup") if "/doctor-" in d}

        a = self.a
        before = groups()
        for _ in range(3):
            c = Connection(a.socket)
            c.request("GET", "/node/doctor")
            a.crash()
            c.close()
            a.start()  # sweeps what is below the agent's own group
        self.assertEqual(a.request("GET", "/node/doctor").status, 200)
        a.stop()
        self.assertEqual(groups() - before, set())
        a.start()
