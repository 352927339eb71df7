# The inner ends of the runtimes over a socketpair: no root, no sandbox, seconds.
# FC_TEST_PYTHON3 and FC_TEST_NODE name other interpreters than /usr/bin's.
dist_check_SCRIPTS += %D%/test_python3.py %D%/test_nodejs.py %D%/test_examples.py %D%/test_images.py
TESTS += %D%/test_python3.py %D%/test_nodejs.py %D%/test_examples.py %D%/test_images.py
EXTRA_DIST += %D%/harness.py
