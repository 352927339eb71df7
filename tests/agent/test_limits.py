"""The node at the edge of its descriptors: connections take none from sandboxes, and whoever asks for too many is told;
what fcctl says of an option in the wrong place."""
import concurrent.futures
import os
import socket
import subprocess
import time
import unittest

from agent import BUILD, Agent


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
        a = Agent("--max-connections", str(connections), files=4096)
        idle = []
        try:
            self.assertEqual(a.request("GET", "/node/info").json()["maxInstances"], (4096 - 256 - 2 * connections) // 4)
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
            Agent("--max-connections", "4096", files=4096)
        self.assertIn("beside 4096 connections: 4096 open files allow 0", str(e.exception))
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
