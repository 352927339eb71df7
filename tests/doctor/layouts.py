"""layouts.py LAYOUT BUILD-DIR: on this machine, whose control groups are laid out as LAYOUT says, fc-run doctor and
fcctl doctor (of an agent started here) tell the truth, row by row. Root. Ends with "N passed, N failed, N skipped".

hybrid: controllers on v1, v2 beside them. unified: v2 only, all controllers. unified-missing: v2 only, the kernel was
booted without its memory controller. undelegated: v2 only, as an ordinary user whose group was given neither cpu nor pids."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

LAYOUT, BUILD = sys.argv[1], os.path.abspath(sys.argv[2])
os.environ.update(FC_LIBEXECDIR=BUILD, FC_DATADIR=os.environ.get("FC_DATADIR", BUILD))

# name: (status, what the detail must hold, what the todo must hold)
CONTROLLERS = ("memory", "cpu", "pids", "cpuset", "io")
EXPECTED = {
    "hybrid": {
        "cgroup": ("ok", r"^hybrid; groups go below .*/fcnode$", ""),
        **{"cgroup." + c: ("ok", "v1 hierarchy", "") for c in CONTROLLERS},
        "cgroup.kill": ("ok", "ended", ""),
        "cgroup.freeze": ("ok", "frozen", ""),
        "cgroup.peak": ("ok", "counted", ""),
        "rcu": ("ok", "rcu_expedited", ""),
    },
    "unified": {
        "cgroup": ("ok", r"^unified; groups go below /sys/fs/cgroup/fcnode$", ""),
        **{"cgroup." + c: ("ok", "v2 tree", "") for c in (*CONTROLLERS, "hugetlb")},
        "cgroup.swap": ("ok", "this host has swap", ""),
        "cgroup.start": ("ok", "started inside", ""),
        "cgroup.kill": ("ok", "ended", ""),
        "cgroup.freeze": ("ok", "frozen", ""),
        "cgroup.peak": ("ok", "counted", ""),
        "pressure": ("ok", "takes triggers", ""),
        "rcu": ("ok", "not needed", ""),
    },
    "unified-missing": {
        "cgroup": ("ok", "^unified", ""),
        "cgroup.memory": ("missing", "switched off", "cgroup_disable="),
        "cgroup.swap": ("degraded", "cgroup.memory", ""),
        "cgroup.peak": ("degraded", "memory limit", ""),
        **{"cgroup." + c: ("ok", "v2 tree", "") for c in CONTROLLERS if c != "memory"},
        "cgroup.kill": ("ok", "ended", ""),
    },
    "undelegated": {
        "cgroup": ("ok", "^unified; groups go below /sys/fs/cgroup/given/alone/fcnode$", ""),
        "cgroup.memory": ("ok", "v2 tree", ""),
        "cgroup.cpu": ("missing", "not in cgroup.controllers", r"\+cpu to cgroup.subtree_control"),
        "cgroup.pids": ("missing", "not in cgroup.controllers", r"\+pids"),
        "cgroup.io": ("ok", "v2 tree", ""),
        "cgroup.kill": ("ok", "ended", ""),
    },
}
# undelegated: by an ordinary user who was given that group, for root lives at the tree's root unless told otherwise
ALONE = ["sh", "-c", 'echo 0 >/sys/fs/cgroup/given/alone/cgroup.procs && exec setpriv --reuid 1000 --regid 1000 '
         '--clear-groups "$@"', "sh"] if LAYOUT == "undelegated" else []
FIT = {"hybrid": True, "unified": True, "unified-missing": False, "undelegated": True}
passed = failed = 0


def check(what, good, shown=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print("%s - %s%s" % ("ok" if good else "not ok", what, "" if good else ": %s" % (shown,)), flush=True)


def check_rows(who, report, rows):
    by_name = {r["name"]: r for r in report["rows"]}
    for name, (status, detail, todo) in rows.items():
        row = by_name.get(name, {})
        check("%s: %s is %s" % (who, name, status), row.get("status") == status and re.search(detail, row["detail"])
              and re.search(todo, row["todo"]) and bool(row["todo"] or status == "ok" or not row["required"]), row)


def check_report(who, code, report, fit):
    check("%s: fit is %s" % (who, fit), report["fit"] == fit, [r for r in report["rows"] if r["status"] == "missing"])
    check("%s: the exit status says so" % who, code == (0 if fit else 5), code)
    check_rows(who, report, EXPECTED[LAYOUT])


def groups():
    return sorted(d for d, _, _ in os.walk("/sys/fs/cgroup") if re.search(r"/doctor-\d+$", d))


def fc_run_doctor():
    p = subprocess.run([*ALONE, BUILD + "/fc-run", "doctor", "--format", "json", "--state-dir", tempfile.gettempdir()],
                       capture_output=True, text=True)
    check_report("fc-run doctor", p.returncode, json.loads(p.stdout), FIT[LAYOUT])


def in_company():
    """The no-internal-process rule: beside another process in the group, nothing can be handed down, and that is said."""
    os.chown("/sys/fs/cgroup/given/others", 1000, 1000)
    for name in ("cgroup.procs", "cgroup.subtree_control"):
        os.chown("/sys/fs/cgroup/given/others/" + name, 1000, 1000)
    p = subprocess.run(["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", BUILD + "/fc-run", "doctor", "--format",
                        "json"], capture_output=True, text=True)
    check_rows("beside others", json.loads(p.stdout), {"cgroup.memory": ("missing", "it holds other processes", "alone in a delegated group")})


def a_killed_one_is_cleared_away(root):
    """What a doctor that was killed left is removed by the next one."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = "%s/fcnode/doctor-%d" % (root, gone.pid)
    os.makedirs(left)
    subprocess.run([BUILD + "/fc-run", "doctor"], stdout=subprocess.DEVNULL)
    check("a group that a killed doctor left is removed", not os.path.exists(left))


class Agent:
    def __init__(self, *options):
        self.dir = tempfile.mkdtemp(prefix="fc-doctor-test-")
        os.chmod(self.dir, 0o755)
        self.socket = self.dir + "/agent.sock"
        self.log = open(self.dir + "/log", "w+")
        self.process = subprocess.Popen([BUILD + "/fc-agent", "--state-dir", self.dir + "/state", "--runtime-dir",
                                         self.dir + "/run", "--socket", self.socket, "--user", "64321:64321", *options],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def fcctl(self, *words):
        return subprocess.run([BUILD + "/fcctl", "--socket", self.socket, *words], capture_output=True, text=True)

    def up(self):
        while self.process.poll() is None:
            if self.fcctl("info").returncode == 0:
                return True
            try:
                self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
        return False

    def text(self):
        with open(self.dir + "/log") as f:
            return f.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        subprocess.run(["rm", "-rf", self.dir])
        return code


def fcctl_doctor(options):
    a = Agent(*options)
    if not FIT[LAYOUT] or LAYOUT == "undelegated":
        # a node that cannot limit what it runs does not start, and says what fc-run doctor says
        code = a.process.wait(60)
        check("fc-agent refuses to start", code != 0, code)
        check("and names the controller and the doctor", re.search("controller (memory|cpu)", a.text()) and "doctor" in a.text(), a.text())
        a.stop()
        return
    check("fc-agent starts", a.up(), a.text())
    p = a.fcctl("--format", "json", "doctor")
    report = json.loads(p.stdout)
    check_report("fcctl doctor", p.returncode, report, True)
    mode = LAYOUT
    check_rows("fcctl doctor", report, {
        "agent.cgroup": ("ok", "^%s; sandboxes go below /sys/fs/cgroup/.*fcnode/agent-[0-9a-f]+$" % mode, ""),
        "agent.instances": ("ok", r"^\d+, ", ""),
        "agent.user": ("ok", "64321", ""),
        "agent.disk": ("ok", r"^\d+ MiB left", ""),
        "agent.images": ("ok", "^host$", ""),
    })
    names = {r["name"] for r in report["rows"]}
    p = subprocess.run([BUILD + "/fc-run", "doctor", "--format", "json", "--state-dir", tempfile.gettempdir()],
                       capture_output=True, text=True)
    check("fcctl doctor has every row of fc-run doctor", names >= {r["name"] for r in json.loads(p.stdout)["rows"]})
    text = a.fcctl("doctor")
    check("as text", text.returncode == 0 and "\nfit: " in text.stdout, text)
    check("fc-agent stops well", a.stop() == 0)


def main():
    before = groups()
    if LAYOUT == "undelegated":
        for name in ("", "/cgroup.procs", "/cgroup.subtree_control"):
            os.chown("/sys/fs/cgroup/given/alone" + name, 1000, 1000)
        in_company()
    fc_run_doctor()
    if LAYOUT == "unified":
        a_killed_one_is_cleared_away("/sys/fs/cgroup")
    if LAYOUT == "hybrid":
        a_killed_one_is_cleared_away([line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"][0])
    fcctl_doctor(["--cgroup-root", "/sys/fs/cgroup/given/alone"] if LAYOUT == "undelegated" else [])
    check("no group is left", groups() == before, groups())
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    sys.exit(failed > 0)


main()
