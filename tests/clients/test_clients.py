"""Clients that exist, unchanged, against the agent: each on each Node.js that run.sh found (FC_NODES, `name=program` words)."""
import base64
import json
import os
import subprocess
import unittest

from agent import Agent, zip_of

HERE = os.environ["FC_CLIENTS"]  # where run.sh has installed them, with the scripts
NODES = dict(x.split("=", 1) for x in os.environ["FC_NODES"].split())
SECRET = "sdk-secret-0123456789"
WHO = """
principal sdk
    tenant sdk
    key AKsdk %s
""" % SECRET
HANDLER = """import os
def handler(event, context):
    print('a line')
    if event == b'raise':
        raise ValueError('as asked')
    return '%s ' + event.decode() + ' ' + os.environ['WHO']
"""


def zipped(word):
    return base64.b64encode(zip_of({"index.py": HANDLER % word})).decode()


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--listen", "127.0.0.1:0", principals=WHO)
        cls.tcp = "127.0.0.1:%d" % cls.a.port()

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def script(self, node, *words, **env):
        r = subprocess.run([NODES[node], *words], cwd=HERE, capture_output=True, text=True, timeout=600,
                           env={**os.environ, "FCNODE_SOCKET": self.a.socket, "FC_KEY": "AKsdk", "FC_SECRET": SECRET,
                                "FC_ZIPS": json.dumps({"v1": zipped("one"), "v2": zipped("two")}), **env})
        self.assertEqual(r.returncode, 0, "%s %s\n%s%s" % (node, " ".join(words), r.stdout, r.stderr))

    def each(self):
        for node in NODES:
            with self.subTest(node):
                yield node

    def test_function_compute_over_the_socket(self):
        for node in self.each():
            self.script(node, "-r", "./unix.cjs", "fc.cjs", FC_ENDPOINT="fc-agent")

    def test_function_compute_over_tcp_signed(self):
        for node in self.each():
            self.script(node, "fc.cjs", FC_ENDPOINT=self.tcp)

    def test_function_compute_over_tcp_badly_signed(self):
        for node in self.each():
            self.script(node, "fc.cjs", "refused", "SignatureNotMatch", FC_ENDPOINT=self.tcp, FC_SECRET="another-secret-012345")
            self.script(node, "fc.cjs", "refused", "InvalidAccessKeyID", FC_ENDPOINT=self.tcp, FC_KEY="AKnobody")

    def test_lambda_over_the_socket(self):
        self.a.python("sdk-lambda", HANDLER % "one", environmentVariables={"WHO": "you"})
        self.assertEqual(self.a.request("POST", "/2023-03-30/functions/sdk-lambda/versions", "{}").status, 200)
        for node in self.each():
            self.script(node, "lambda.cjs")


if __name__ == "__main__":
    unittest.main()
