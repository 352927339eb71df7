"""Images of functions: by the runtime's name, by runtime-image, host where there is none. check-images makes them."""
import os
import unittest

from agent import Agent

IMAGES = os.environ.get("FC_IMAGES", "")

PYTHON = "import os\ndef handler(event, context):\n    return ' '.join(sorted(os.listdir('/usr/bin')))\n"
NODE = "exports.handler = async () => require('fs').readdirSync('/usr/bin').sort().join(' ');\n"


class Images(unittest.TestCase):
    def test_runtime_chooses_image(self):
        a = Agent(*(w for name in ("python3", "nodejs", "static") for w in ("--image", "%s=%s/%s" % (name, IMAGES, name))))
        try:
            a.python("py", PYTHON)
            self.assertEqual(a.create("js", {"index.js": NODE}, "nodejs").status, 200)
            with open(os.environ["FC_HELLO"], "rb") as f:
                self.assertEqual(a.create("bin", {"bootstrap": f.read()}, "stdio", "bootstrap").status, 200)
            a.shell("sh", "ls /usr/bin | wc -l\n")
            self.assertEqual(a.invoke("py").body, b"python3 python3.11")
            self.assertEqual(a.invoke("js").body, b"node nodejs")
            self.assertGreater(int(a.invoke("sh").body), 50)  # no image "stdio": the host's
            a.stop()
            a.start("--runtime-image", "stdio=static", "--runtime-image", "python3=host")
            self.assertTrue(a.invoke("bin", b"Ada").body.startswith(b"Hello, Ada"))
            self.assertNotEqual(a.invoke("sh").outcome, "ok")  # there is no shell in it
            self.assertIn(b" env ", a.invoke("py").body)
            self.assertEqual(a.invoke("js").body, b"node nodejs")
        finally:
            a.close()


if __name__ == "__main__":
    unittest.main()
