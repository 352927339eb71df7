# images: the inner ends of the runtimes, the /etc of image "host", and the
# skeleton of mount points. Programs look for images/ beside themselves and
# then in $(pkgdatadir), so both trees are made here. Git and make keep no
# empty directories: etc.binds and skel.dirs list them, and `complete` makes them.
nobase_dist_pkgdata_DATA = \
	%D%/python3/fc_channel.py \
	%D%/python3/fc_runtime.py \
	%D%/nodejs/fc-runtime.js \
	%D%/skel.dirs \
	%D%/recipes/common \
	%D%/recipes/nodejs/recipe %D%/recipes/nodejs/lock %D%/recipes/nodejs/digest \
	%D%/recipes/python3/recipe %D%/recipes/python3/lock %D%/recipes/python3/digest \
	%D%/recipes/static/recipe %D%/recipes/static/lock %D%/recipes/static/digest \
	%D%/host/etc.binds \
	%D%/host/etc/group \
	%D%/host/etc/hosts \
	%D%/host/etc/nsswitch.conf \
	%D%/host/etc/passwd \
	%D%/host/etc/resolv.conf
dist_noinst_SCRIPTS += %D%/complete

# The builder, beside the other programs: it finds the recipes as they find their data.
imagedir = $(localstatedir)/lib/fcnode-images
nodist_bin_SCRIPTS += fc-image
EXTRA_DIST += %D%/fc-image.in
CLEANFILES += fc-image
fc-image: %D%/fc-image.in Makefile
	$(AM_V_GEN)$(SED) -e 's|[@]imagedir[@]|$(imagedir)|g' -e 's|[@]pkgdatadir[@]|$(pkgdatadir)|g' $(srcdir)/%D%/fc-image.in >$@.tmp \
		&& chmod 755 $@.tmp && mv $@.tmp $@

# Built first, so that a program of this tree always finds its data. The
# prerequisites name the source tree: through VPATH make would see the copies.
BUILT_SOURCES += %D%/.stamp
%D%/.stamp: $(addprefix $(srcdir)/,$(nobase_dist_pkgdata_DATA)) $(srcdir)/%D%/complete
	$(AM_V_GEN)test $(srcdir) = . || for f in $(nobase_dist_pkgdata_DATA); do \
		$(MKDIR_P) "$$(dirname "$$f")" && $(INSTALL_DATA) $(srcdir)/$$f $$f || exit 1; done
	@$(SHELL) $(srcdir)/%D%/complete make $(srcdir)/%D% %D%
	@touch $@

images-install: install-nobase_dist_pkgdataDATA
	$(SHELL) $(srcdir)/%D%/complete make $(srcdir)/%D% "$(DESTDIR)$(pkgdatadir)/images"
images-uninstall:
	$(SHELL) $(srcdir)/%D%/complete remove $(srcdir)/%D% "$(DESTDIR)$(pkgdatadir)/images"
images-clean:
	-$(SHELL) $(srcdir)/%D%/complete remove $(srcdir)/%D% %D%
	-test $(srcdir) = . || rm -f $(nobase_dist_pkgdata_DATA)
.PHONY: images-install images-uninstall images-clean
INSTALL_DATA_LOCAL += images-install
UNINSTALL_LOCAL += images-uninstall
CLEAN_LOCAL += images-clean
CLEANFILES += %D%/.stamp
