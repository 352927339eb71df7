# contrib: what stands around the programs.
EXTRA_DIST += %D%/quickstart %D%/quickstart.d/packages.sh %D%/quickstart.d/build.sh %D%/quickstart.d/demo.sh \
	%D%/quickstart.d/check.sh
