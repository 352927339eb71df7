# man: a page per program and file format; fcnode(7) is the architecture. tests/lint/check-man wants every page here.
dist_man_MANS += %D%/fc-unpack.8
dist_man_MANS += %D%/fc-run.1 %D%/fcnode.7 %D%/fcnode-channel.7 %D%/fcnode-runtimes.7
dist_man_MANS += %D%/fc-run-oci.1
dist_man_MANS += %D%/fc-run-doctor.1 %D%/fc-image.1
dist_man_MANS += %D%/fc-agent.8 %D%/fc-agent.conf.5 %D%/fcnode-principals.5
dist_man_MANS += %D%/fcnode-function.5 %D%/fcnode-oci.7
dist_man_MANS += %D%/fcctl.1 %D%/fcnode-api.7
