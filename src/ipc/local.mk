# ipc: what crosses between processes: keeper and serve (msg), caller and runtime (channel).
noinst_LIBRARIES += libipc.a
libipc_a_SOURCES = %D%/channel.c %D%/channel.h %D%/msg.c %D%/msg.h %D%/messages.def
