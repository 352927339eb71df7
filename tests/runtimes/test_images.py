#!/usr/bin/python3
"""images/complete makes every mount point that the lists name, and takes all of them away again."""
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402

IMAGES = harness.SOURCE / 'images'


def entries(name):
    lines = (line.split('#')[0].strip() for line in (IMAGES / name).read_text().splitlines())
    return [line for line in lines if line]


class Images(unittest.TestCase):
    def check(self, images):
        for entry in entries('host/etc.binds'):
            path = images / 'host/etc' / entry.lstrip('?')
            self.assertTrue(path.is_dir() if entry.endswith('/') else path.is_file(), path)
        self.assertEqual(os.readlink(images / 'host/etc/localtime'), '/usr/share/zoneinfo/Etc/UTC')
        for entry in entries('skel.dirs'):
            self.assertTrue((images / 'skel' / entry).is_dir(), entry)
        self.assertEqual(stat.S_IMODE((images / 'skel/tmp').stat().st_mode), 0o1777)

    def complete(self, verb, target):
        # A strict umask of the builder's must not reach what a function's user reads.
        subprocess.run(['sh', str(IMAGES / 'complete'), verb, str(IMAGES), str(target)], check=True, umask=0o077)

    def test_make_and_remove(self):
        with tempfile.TemporaryDirectory() as tmp:
            target = pathlib.Path(tmp, 'images')
            (target / 'python3').mkdir(parents=True)
            (target / 'python3/fc_channel.py').write_bytes((IMAGES / 'python3/fc_channel.py').read_bytes())
            for _ in range(2):  # making it again changes nothing
                self.complete('make', target)
                self.check(target)
            made = [p for p in target.rglob('*') if p.name not in ('python3', 'fc_channel.py') and not p.is_symlink()]
            self.assertEqual([p for p in made if not p.stat().st_mode & stat.S_IROTH], [])
            (target / 'host/etc/ssl/openssl.cnf').write_text('somebody else\'s\n')
            self.complete('remove', target)
            left = sorted(str(p.relative_to(target)) for p in target.rglob('*') if not p.is_dir())
            self.assertEqual(left, ['host/etc/ssl/openssl.cnf', 'python3/fc_channel.py'])

    def test_build_tree(self):
        """What the programs of this build would find beside themselves."""
        built = pathlib.Path('images')
        if not (built / '.stamp').exists():
            self.assertNotEqual(os.environ.get('FC_TEST_STRICT'), '1', 'not run from a build tree')
            self.skipTest('not run from a build tree')
        self.check(built)
        for name in ('python3/fc_runtime.py', 'python3/fc_channel.py', 'nodejs/fc-runtime.js', 'host/etc/passwd'):
            self.assertEqual((built / name).read_bytes(), (IMAGES / name).read_bytes(), name)

    def test_names_and_ids(self):
        users = {line.split(':')[0]: line.split(':')[2:4] for line in (IMAGES / 'host/etc/passwd').read_text().splitlines()}
        self.assertEqual(users, {'root': ['0', '0'], 'fn': ['1000', '1000'], 'nobody': ['65534', '65534']})
        groups = {line.split(':')[2] for line in (IMAGES / 'host/etc/group').read_text().splitlines()}
        self.assertLessEqual({gid for _, gid in users.values()}, groups)


if __name__ == '__main__':
    unittest.main()
