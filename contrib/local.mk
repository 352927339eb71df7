# contrib: what stands around the programs.
EXTRA_DIST += %D%/quickstart %D%/quickstart.d/packages.sh %D%/quickstart.d/build.sh %D%/quickstart.d/demo.sh \
	%D%/quickstart.d/check.sh %D%/systemd/fc-agent.service.in %D%/completion/fcnode.bash
EXTRA_DIST += %D%/examples/README.md \
	%D%/examples/hello-c/fcnode.json %D%/examples/hello-c/hello.c \
	%D%/examples/hello-nodejs/fcnode.json %D%/examples/hello-nodejs/index.js \
	%D%/examples/hello-python3/fcnode.json %D%/examples/hello-python3/index.py \
	%D%/examples/hello-bootstrap/bootstrap %D%/examples/hello-bootstrap/fcnode.json \
	%D%/examples/hello-shell/bootstrap %D%/examples/hello-shell/fcnode.json \
	%D%/examples/transcoder/fcnode.json %D%/examples/transcoder/transcode

# below the prefix: a package sets --prefix=/usr, where systemd and bash look
unitdir = $(prefix)/lib/systemd/system
nodist_unit_DATA = %D%/systemd/fc-agent.service
CLEANFILES += $(nodist_unit_DATA)
%D%/systemd/fc-agent.service: %D%/systemd/fc-agent.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) %D%/systemd && $(SED) 's|[@]sbindir[@]|$(sbindir)|' $(srcdir)/%D%/systemd/fc-agent.service.in >$@.tmp && mv $@.tmp $@

# bash looks for a file of the command's name
completiondir = $(datadir)/bash-completion/completions
COMPLETED = fc-run fcctl fc-agent fc-image
completion-install:
	$(MKDIR_P) "$(DESTDIR)$(completiondir)"
	for p in $(COMPLETED); do \
		$(INSTALL_DATA) $(srcdir)/%D%/completion/fcnode.bash "$(DESTDIR)$(completiondir)/$$p" || exit 1; done
completion-uninstall:
	for p in $(COMPLETED); do rm -f "$(DESTDIR)$(completiondir)/$$p"; done
.PHONY: completion-install completion-uninstall
INSTALL_DATA_LOCAL += completion-install
UNINSTALL_LOCAL += completion-uninstall

# for tools that make clients (fcnode-api(7), FILES)
dist_pkgdata_DATA = %D%/openapi.json
