"""The README's first function, word for word."""
import os
import re
import subprocess
import tempfile
import unittest

from agent import BUILD, Agent

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../README.md")
SOCKET = "/run/fcnode/agent.sock"  # where the README has the agent's


def blocks(section):
    with open(README) as f:
        text = f.read().split("\n## %s\n" % section)[1].split("\n## ")[0]
    return re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)


class Readme(unittest.TestCase):
    def test_first_function(self):
        a = Agent()
        self.addCleanup(a.close)
        with tempfile.TemporaryDirectory(prefix="fc-readme-") as cwd:
            def run(block):
                r = subprocess.run(["bash", "-euc", 'sudo() { "$@"; }\n' + block.replace(SOCKET, a.socket)], cwd=cwd, capture_output=True, text=True,
                                   env={**os.environ, "PATH": BUILD + ":" + os.environ["PATH"], "FCNODE_SOCKET": a.socket})
                self.assertEqual(r.returncode, 0, block + r.stdout + r.stderr)
                return r.stdout

            first, then, by_hand = blocks("Your first function")
            self.assertTrue(run(first).endswith("Hello, you!"))
            out = run(then)
            self.assertIn("called with b'you'\n", out)
            self.assertTrue(out.endswith("Hello, again!"))
            out = run(by_hand)
            self.assertIn('"functionName":"byhand"', out)
            self.assertEqual(out.count("Hello, you!"), 2)
            self.assertIn("called with b'you'", out)


if __name__ == "__main__":
    unittest.main()
