# check-vm: the guest that tests run in keeps its promises, and layers of tests in it, on pure cgroup v2. What the guest
# runs is built here first: emulated, a compiler is no use.
dist_check_SCRIPTS += %D%/run %D%/layers %D%/layer.sh %D%/selftest
EXTRA_DIST += %D%/image.sh %D%/qemu.sh %D%/guest/init %D%/guest/main %D%/guest/cgroups

VM_LAYERS =

vm-programs: all $(KERNEL) $(PROBE) $(V2_LIMITS) tests/keeper/fc-agent-hostile$(EXEEXT)

check-vm: vm-programs
	$(srcdir)/%D%/selftest
	$(srcdir)/%D%/layers $(builddir) $(VM_LAYERS)
.PHONY: vm-programs check-vm
