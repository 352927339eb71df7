# contrib: what stands around the programs.
EXTRA_DIST += %D%/quickstart %D%/quickstart.d/packages.sh %D%/quickstart.d/build.sh %D%/quickstart.d/demo.sh \
	%D%/quickstart.d/check.sh
EXTRA_DIST += %D%/examples/README.md \
	%D%/examples/hello-c/fcnode.json %D%/examples/hello-c/hello.c \
	%D%/examples/hello-nodejs/fcnode.json %D%/examples/hello-nodejs/index.js \
	%D%/examples/hello-python3/fcnode.json %D%/examples/hello-python3/index.py \
	%D%/examples/hello-shell/bootstrap %D%/examples/hello-shell/fcnode.json \
	%D%/examples/transcoder/fcnode.json %D%/examples/transcoder/transcode
