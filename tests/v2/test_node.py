"""fc-agent in a delegated group, as in a unit with Delegate=yes, and at the root of the tree: where its groups go, which
limits are on which level, what is told when one fires, and that a group that was lent is given back as it was."""
import os
import signal
import subprocess
import unittest

import agent
from agent import BUILD
from groups import ROOT, Group, wait_until

EATS = "def handler(event, context):\n    return len(bytearray(b'x') * (1 << 30))\n"
WAITS = "read line; echo $line"


class AgentIn(agent.Agent):
    """An agent that is started in a group, alone."""

    def __init__(self, group, *options):
        self.group = group
        super().__init__(*options)

    def spawn(self, log, options):
        command = ["sh", "-c", 'echo 0 >"$0"/cgroup.procs && exec "$@"', self.group, BUILD + "/fc-agent", "--state-dir",
                   self.dir + "/state", "--runtime-dir", self.dir + "/run", "--socket", self.socket, "--user", "65534:65534",
                   *self.options, *options]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def children(path):
    return sorted(e.name for e in os.scandir(path) if e.is_dir())


def read(*path):
    with open("/".join(path)) as f:
        return f.read().strip()


class Levels(unittest.TestCase):
    def call_held(self, a, name):
        """A call that stays until the function is told to end; its instance's group."""
        seen = a.request("GET", "/node/events?cursor=now").json()["cursor"]
        p = subprocess.Popen([BUILD + "/fcctl", "--socket", a.socket, "invoke", name, "--event", "x"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        while True:
            page = a.request("GET", "/node/events?wait=60000&cursor=" + seen).json()
            seen = page["cursor"]
            for e in page["events"]:
                if e["event"] == "instance.running":
                    return p, e["instanceId"]

    def check_tree(self, a, root):
        """Every level has its own limits' files filled, and the sandbox is where they count it."""
        a.shell("waits", "sleep 1000", memorySize=64, cpu=0.5, timeout=600)
        p, instance = self.call_held(a, "waits")
        [node] = [d for d in children(root + "/fcnode") if d.startswith("agent-")]
        top = root + "/fcnode/" + node
        leaf = top + "/t-default/f-waits/" + instance
        self.assertEqual((read(top, "memory.max"), read(top, "pids.max")), (str(512 << 20), "300"))
        self.assertEqual((read(top, "t-default", "memory.max"), read(top, "t-default", "cpu.max")), (str(256 << 20), "150000 100000"))
        self.assertEqual({n: read(leaf, n) for n in ("memory.max", "memory.swap.max", "memory.oom.group", "cpu.max")},
                         {"memory.max": str(64 << 20), "memory.swap.max": "0", "memory.oom.group": "1", "cpu.max": "50000 100000"})
        self.assertIn("populated 1", read(leaf, "cgroup.events"))
        p.kill()
        p.wait()
        wait_until(lambda: not os.path.exists(leaf))  # its caller hung up

    options = ("--node-memory", "512M", "--node-pids", "300", "--tenant-memory", "256M", "--tenant-cpu", "1.5")

    def test_at_the_root(self):
        a = AgentIn(ROOT, *self.options)
        try:
            self.check_tree(a, ROOT)
        finally:
            a.close()
        self.assertFalse(os.path.exists(ROOT + "/fcnode"))

    def test_in_a_delegated_group(self):
        group = Group()
        self.addCleanup(group.remove)
        a = AgentIn(group.path, "--cgroup-root", "own", *self.options)
        try:
            # no process beside groups with controllers: the agent moved below, all of it
            self.assertEqual(group.read("cgroup.procs"), "")
            self.check_tree(a, group.path)
            rows = {r["name"]: r for r in a.request("GET", "/node/doctor").json()["rows"]}
            self.assertIn(group.path + "/fcnode/agent-", rows["agent.cgroup"]["detail"])
            self.assertEqual(rows["cgroup.memory"]["status"], "ok")
        finally:
            a.close()
        self.assertEqual((group.children(), group.read("cgroup.subtree_control")), ([], ""))

    def test_a_crash_in_a_delegated_group(self):
        group = Group()
        self.addCleanup(group.remove)
        a = AgentIn(group.path, "--cgroup-root", "own")
        a.shell("waits", "sleep 1000", timeout=600)
        p, _ = self.call_held(a, "waits")
        a.crash()
        p.wait()
        # as a unit's manager does before it starts it again
        group.write("cgroup.kill", "1")
        wait_until(lambda: "populated 0" in group.read("cgroup.events"))
        for path, _, _ in os.walk(group.path, topdown=False):
            if path != group.path:
                os.rmdir(path)
        group.write("cgroup.subtree_control", "-memory -cpu -pids -io -cpuset -hugetlb", missing_ok=True)
        a.start()
        self.assertEqual([r["outcome"] for r in a.usage()], ["node_crash"])
        a.close()
        self.assertEqual(group.children(), [])

    def test_the_units_limit_is_not_the_functions(self):
        group = Group()
        self.addCleanup(group.remove)
        a = AgentIn(group.path, "--cgroup-root", "own")
        try:
            a.python("eats", EATS, memorySize=1024)
            used = int(group.read("memory.current"))
            group.write("memory.swap.max", "0")
            group.write("memory.max", str(used + (64 << 20)))
            r = a.invoke("eats")
            # the kernel picks its victim in all of the unit; a sandbox is what eats
            self.assertEqual((r.status, r.outcome), (503, "oom_node"), r.body)
            self.assertEqual([x["billedMs"] for x in a.usage()], [0])
            group.write("memory.max", "max")
            self.assertEqual(a.process.poll(), None)
        finally:
            a.close()

    def test_in_company_it_does_not_start(self):
        group = Group()
        self.addCleanup(group.remove)
        other = group.start(["sleep", "1000"])
        try:
            with self.assertRaises(RuntimeError) as e:
                AgentIn(group.path, "--cgroup-root", "own")
            self.assertIn("it holds other processes", str(e.exception))
            self.assertEqual(group.read("cgroup.procs").split(), [str(other.pid)])
        finally:
            other.send_signal(signal.SIGKILL)
            other.wait()


if __name__ == "__main__":
    unittest.main()
