/*
 * confine - what each half of fc-agent gives up before it does anything.
 *
 * keeper keeps the capabilities that making sandboxes needs and loses the rest
 * for good, cannot gain privileges over execve, and works in a mount namespace
 * of its own that holds only what sandboxes are made of: a clone copies the
 * mount table, so a short one makes starts fast, and an administrator's umount
 * still reaches it. serve has no capability, no way to get one, leaves no core,
 * cannot be traced, and where the kernel has Landlock it can write below its
 * own directory only and read little else.
 */
#pragma once

#include "agent/config.h"
#include "base/err.h"

/* In keeper, once its directories exist and before the first sandbox. */
int confine_keeper(const struct config *c, struct err *err);

/* In the child that becomes serve, as root, between fork and execve. */
int confine_before_exec(const struct config *c, struct err *err);

/* In serve, first thing after execve. */
int confine_serve(const struct config *c, struct err *err);
